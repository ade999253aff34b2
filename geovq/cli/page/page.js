"use strict";

// Pictures that several parts show are in the file once, with data-key; elsewhere an image asks for one by data-copy.
const pictures = new Map();
for (const root of [document, document.getElementById("store").content]) {
  for (const image of root.querySelectorAll("img[data-key]")) pictures.set(image.dataset.key, image);
}

function show(image, key) {
  const picture = pictures.get(key);
  image.src = picture.src;
  image.alt = picture.alt;
  image.width = picture.width;
  image.height = picture.height;
}

for (const image of document.querySelectorAll("img[data-copy]")) show(image, image.dataset.copy);

// Pickers: radio buttons with a name, whose value is the number of an image.

function picked(name) {
  return document.querySelector(`input[name=${name}]:checked`).value;
}

function onPick(name, act) {
  for (const each of document.querySelectorAll(`input[name=${name}]`)) each.addEventListener("change", act);
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// Wipes: the left version lies over the right one, and is cut at the place where the slider is.

function setUpWipe(wipe) {
  const [stage, slider, caption] = [".stage", "input[type=range]", ".caption"].map((each) => wipe.querySelector(each));
  const [left, right] = [".left", ".right"].map((each) => stage.querySelector(each));
  const [leftChoice, rightChoice] = [".left-choice", ".right-choice"].map((each) => wipe.querySelector(each));

  function place() {
    stage.style.setProperty("--wipe", `${slider.value}%`);
    slider.setAttribute("aria-valuetext", `${slider.value} % left version`);
  }

  function choose() {
    show(left, `${picked("image")}/${leftChoice.value}`);
    show(right, `${picked("image")}/${rightChoice.value}`);
    caption.textContent = `Left: ${left.alt}. Right: ${right.alt}.`;
  }

  function drag(event) {
    if (event.type === "pointermove" && event.buttons === 0) return;
    const box = stage.getBoundingClientRect();
    slider.value = Math.round((100 * (event.clientX - box.left)) / box.width);
    place();
  }

  slider.addEventListener("input", place);
  stage.addEventListener("pointerdown", drag);
  stage.addEventListener("pointermove", drag);
  leftChoice.addEventListener("change", choose);
  rightChoice.addEventListener("change", choose);
  onPick("image", choose);
  place();
  choose();
}

for (const wipe of document.querySelectorAll(".wipe")) setUpWipe(wipe);

// Explorer: the codes that a token could have instead, and the image with one of them.

function setUpExplorer(explorer, data) {
  const [board, panel] = [".board", ".panel"].map((each) => explorer.querySelector(each));
  const change = board.querySelector(".change");
  const buttons = [...board.querySelectorAll(".token")];

  function take(token, option, chosen, closer) {
    for (const each of panel.querySelectorAll(".options button")) each.setAttribute("aria-pressed", String(each === chosen));
    change.src = option.patch;
    change.hidden = option.own;
    Object.assign(change.style, token.region);
    closer.querySelector(".after").src = option.patch;
    closer.querySelector("p").textContent = option.said;
  }

  function optionButton(token, option, closer) {
    const picture = element("img", { src: option.patch, alt: "", className: "pixels" });
    picture.style.transformOrigin = token.middle;
    const label = option.label.flatMap((line) => [line, element("br")]).slice(0, -1);
    const button = element("button", { type: "button" }, element("span", {}, picture), ...label);
    button.setAttribute("aria-pressed", String(option.own));
    button.addEventListener("click", () => take(token, option, button, closer));
    return element("li", {}, button);
  }

  function open(button) {
    for (const each of buttons) each.setAttribute("aria-pressed", String(each === button));
    const token = data.tokens[button.dataset.token];
    const closer = element(
      "div",
      { className: "closer" },
      element(
        "figure",
        {},
        element("img", { src: token.own.patch, alt: "Around the token as it is", className: "pixels" }),
        element("figcaption", { textContent: "as it is" }),
      ),
      element(
        "figure",
        {},
        element("img", { src: token.own.patch, alt: "Around the token with the chosen code", className: "pixels after" }),
        element("figcaption", { textContent: "with the chosen code" }),
      ),
      element("p", { textContent: token.own.said, className: "caption" }),
    );
    closer.querySelector("p").setAttribute("aria-live", "polite");
    panel.replaceChildren(element("h3", { textContent: button.getAttribute("aria-label") }), closer);
    for (const group of token.groups) {
      const list = element("ul", { className: "options" });
      for (const option of [token.own, ...group.options]) list.append(optionButton(token, option, closer));
      panel.append(element("h3", { textContent: group.title }), list);
    }
    change.hidden = true;
  }

  const turn = () => (explorer.hidden = explorer.dataset.number !== picked("explored"));
  onPick("explored", turn);
  for (const button of buttons) button.addEventListener("click", () => open(button));
  open(buttons[0]);
  turn();
}

const explored = document.getElementById("explorer-data");
if (explored) {
  const data = JSON.parse(explored.textContent);
  for (const each of document.querySelectorAll(".explorer")) setUpExplorer(each, data[each.dataset.number]);
}
