"""Slow truths in NumPy: what every fast path is held against. One loop an idea, no autodiff, no batching."""

import itertools
import math

import numpy as np
import scipy.linalg


def mean_squared_error(image, reconstruction):
    """Of one pair, in float64."""
    differences = [float(a) - float(b) for a, b in zip(image.ravel(), reconstruction.ravel(), strict=True)]
    return sum(x * x for x in differences) / len(differences)


def enlarge(image, height, width):
    """Bilinear with pixel centres at half-integers, edges held: image (h, w, c) to (height, width, c)."""
    out = np.empty((height, width, image.shape[2]))
    for i in range(height):
        for j in range(width):
            y = min(max((i + 0.5) * image.shape[0] / height - 0.5, 0), image.shape[0] - 1)
            x = min(max((j + 0.5) * image.shape[1] / width - 0.5, 0), image.shape[1] - 1)
            top, left = int(y), int(x)
            below, right = min(top + 1, image.shape[0] - 1), min(left + 1, image.shape[1] - 1)
            upper = (1 - x + left) * image[top, left] + (x - left) * image[top, right]
            lower = (1 - x + left) * image[below, left] + (x - left) * image[below, right]
            out[i, j] = (1 - y + top) * upper + (y - top) * lower
    return out


ALEXNET = [(4, 2), "pool 3", (1, 2), "pool 3", (1, 1), (1, 1), (1, 1)]
VGG16 = [(1, 1)] * 2 + ["pool 2"] + [(1, 1)] * 2 + (["pool 2"] + [(1, 1)] * 3) * 3
"""Stride and padding of convolutions, each of them rectified, and the windows of pooling."""


def lpips_features(weights, image):
    """The five layers that LPIPS compares of one image (H, W, 3) in [-1, 1], pixel after pixel."""
    name = "VGG16_0" if "VGG16_0" in weights else "AlexNet_0"
    layers, compared = (VGG16, [1, 3, 6, 9, 12]) if name == "VGG16_0" else (ALEXNET, [*range(5)])
    x = (image - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450])
    rectified: list[np.ndarray] = []
    for layer in layers:
        if isinstance(layer, str):
            x = pool(x, int(layer[-1]))
        else:
            x = rectified_convolution(x, weights[name][f"Conv_{len(rectified)}"], *layer)
            rectified.append(x)
    return [rectified[number] for number in compared]


def pool(x, taps):
    """The greatest of every window, two pixels apart."""
    side = [(s - taps) // 2 + 1 for s in x.shape[:2]]
    return np.array(
        [
            [x[2 * i : 2 * i + taps, 2 * j : 2 * j + taps].max(axis=(0, 1)) for j in range(side[1])]
            for i in range(side[0])
        ]
    )


def rectified_convolution(x, weights, stride, padding):
    """Of one image (H, W, C)."""
    kernel, bias = (np.asarray(weights[part], dtype=np.float64) for part in ("kernel", "bias"))
    x = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    taps = kernel.shape[0]
    rows, columns = ((s - taps) // stride + 1 for s in x.shape[:2])
    out = np.empty((rows, columns, kernel.shape[3]))
    for i in range(rows):
        for j in range(columns):
            window = x[stride * i : stride * i + taps, stride * j : stride * j + taps]
            out[i, j] = window.ravel() @ kernel.reshape(-1, kernel.shape[3]) + bias
    return np.maximum(out, 0)


def lpips(weights, image, reconstruction, side):
    """Of one pair (h, w, c) in [0, 1], square, enlarged to `side`."""
    first, second = (
        lpips_features(weights, np.repeat(2 * enlarge(x, side, side) - 1, 3 // x.shape[2], axis=2))
        for x in (image, reconstruction)
    )
    total = 0.0
    for layer, (a, b) in enumerate(zip(first, second, strict=True)):
        head = weights[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"][0, 0, :, 0]
        a, b = (x / (np.linalg.norm(x, axis=2, keepdims=True) + 1e-10) for x in (a, b))
        total += float(((a - b) ** 2 @ head).mean())
    return total


def code_frequencies(tokens, k):
    """Of a flat list of tokens."""
    return [sum(int(t) == code for t in tokens) / len(tokens) for code in range(k)]


def unigram_nats(train_tokens, tokens, k):
    """Tokens (n, t), each position with its own counts, half a count added to every code."""
    total = 0.0
    for position in range(tokens.shape[1]):
        seen = list(train_tokens[:, position])
        for token in tokens[:, position]:
            total -= np.log((seen.count(token) + 0.5) / (len(seen) + 0.5 * k))
    return total / tokens.size


def quadratic_form(move, metric):
    """Of one vector (d,) and one matrix (d, d), term by term."""
    return sum(move[i] * metric[i, j] * move[j] for i in range(len(move)) for j in range(len(move)))


def bootstrap_means(values, n_resamples, seed):
    """Mean of every resample, one draw after the other."""
    rng = np.random.default_rng(seed)
    return [values[rng.integers(len(values), size=len(values))].mean() for _ in range(n_resamples)]


def shortest_paths(lengths):
    """Floyd-Warshall on a dense (n, n) matrix of edge lengths, infinite where there is no edge."""
    distances = np.array(lengths, dtype=np.float64)
    np.fill_diagonal(distances, 0)
    for through in range(len(distances)):
        for i in range(len(distances)):
            for j in range(len(distances)):
                distances[i, j] = min(distances[i, j], distances[i, through] + distances[through, j])
    return distances


def medoid_cost(distances, weights, medoids, power=1):
    """Σ weight · distance^power to the nearest of the medoids, from all distances (n, n)."""
    return sum(weights[i] * min(distances[i, j] for j in medoids) ** power for i in range(len(distances)))


def least_medoid_cost(distances, weights, k, power=1):
    """The least cost over all choices of k medoids."""
    choices = itertools.combinations(range(len(distances)), k)
    return min(medoid_cost(distances, weights, medoids, power) for medoids in choices)


def swap_changes(distances, weights, medoids, x, power=1):
    """What the cost changes by if x replaces the medoid of each place, one full cost after another."""
    before = medoid_cost(distances, weights, medoids, power)
    swapped = [[*medoids[:place], x, *medoids[place + 1 :]] for place in range(len(medoids))]
    return [medoid_cost(distances, weights, others, power) - before for others in swapped]


def neighbour_lengths(points, k):
    """Dense (n, n) lengths of the symmetric k-nearest-neighbour graph, infinite where there is no edge."""
    lengths = np.full((len(points), len(points)), np.inf)
    for i in range(len(points)):
        distances = np.linalg.norm(points - points[i], axis=1)
        others = [j for j in np.argsort(distances, kind="stable") if j != i]
        for j in others[:k]:
            lengths[i, j] = lengths[j, i] = distances[j]
    return lengths


def spanning_bridges(points, labels):
    """Kruskal over all pairs of points: the shortest edges that join the groups, as (length, i, j), i < j."""
    labels = np.array(labels)
    pairs = itertools.combinations(range(len(points)), 2)
    bridges = []
    for length, i, j in sorted((float(np.linalg.norm(points[i] - points[j])), i, j) for i, j in pairs):
        if labels[i] != labels[j]:
            bridges.append((length, i, j))
            labels[labels == labels[j]] = labels[i]
    return bridges


def layer_norm(x, params):
    """Of one vector, with the layer's scale and bias."""
    x = (x - x.mean()) / np.sqrt(((x - x.mean()) ** 2).mean() + 1e-6)
    return x * params["scale"] + params["bias"]


def rotated(x, row, column):
    """A head's query or key at a row and a column: pairs of channels as complex numbers, turned by their angles."""
    quarter, half = len(x) // 4, len(x) // 2
    speeds = [10_000 ** (-i / quarter) for i in range(quarter)]
    turns = np.exp(1j * np.array([row * speed for speed in speeds] + [column * speed for speed in speeds]))
    turned = (x[:half] + 1j * x[half:]) * turns
    return np.concatenate([turned.real, turned.imag])


def perceptron(x, params, norm):
    """What a GELU perceptron adds to a stream."""
    h = layer_norm(x, params[norm]) @ params["up"]["kernel"] + params["up"]["bias"]
    h = h * (1 + np.tanh(np.sqrt(2 / np.pi) * (h + 0.044715 * h**3))) / 2
    return h @ params["down"]["kernel"] + params["down"]["bias"]


def gpt_logits(params, heads, tokens, label=0, *, grid=None, codes_per_position=1):
    """Logits (t, S, K) of one image's tokens (t, S), position after position and head after head, from the parameters of a GPT.

    `grid` is the grid of rotary positions, None for learned ones; tokens (t,) give logits (t, K).
    """
    if np.ndim(tokens) == 1:
        return gpt_logits(params, heads, np.asarray(tokens)[:, None], label, grid=grid)[:, 0]
    t, count = tokens.shape
    tables, kernels = np.split(params["codes"], count), np.split(params["head"]["kernel"], count, axis=1)
    places = [(i, s) for i in range(t) for s in range(0, count, codes_per_position)]
    stream = []
    for number, (i, s) in enumerate(places):
        x = params["start"][label] if number == 0 else 0
        if number:
            before_i, before_s = places[number - 1]
            for of in range(before_s, before_s + codes_per_position):
                x = x + tables[of][tokens[before_i, of]]
        if grid is None:
            x = x + params["rows"][i // len(params["columns"])] + params["columns"][i % len(params["columns"])]
        if codes_per_position < count:
            x = x + params["quantizers"][s]
        stream.append(x)
    for _, block in sorted(params["blocks"].items()):
        linear = lambda x, name, block=block: x @ block[name]["kernel"] + block[name]["bias"]  # noqa: E731
        qkv = [linear(layer_norm(x, block["norm_attention"]), "query_key_value") for x in stream]
        q, k, v = (
            [np.split(part, heads) for part in parts] for parts in zip(*(np.split(x, 3) for x in qkv), strict=True)
        )
        if grid is not None:
            q, k = (
                [[rotated(h, *divmod(i, grid[1])) for h in x] for (i, _), x in zip(places, of, strict=True)]
                for of in (q, k)
            )
        for i in range(len(stream)):
            mixed = []
            for head in range(heads):
                weights = [np.exp(q[i][head] @ k[j][head] / np.sqrt(len(q[i][head]))) for j in range(i + 1)]
                mixed.append(sum(w * v[j][head] for j, w in enumerate(weights)) / sum(weights))
            stream[i] = stream[i] + linear(np.concatenate(mixed), "mixed")
            stream[i] = stream[i] + perceptron(stream[i], block, "norm_mlp")
    logits = np.zeros((t, count, len(tables[0])))
    for (i, first), x in zip(places, stream, strict=True):
        for s in range(first, first + codes_per_position):
            state = x
            if codes_per_position > 1:
                state = x + params["quantizers"][s] + sum(tables[of][tokens[i, of]] for of in range(s))
                state = state + perceptron(state, params["within_token"], "norm")
            logits[i, s] = layer_norm(state, params["norm"]) @ kernels[s]
    return logits


def smoothed_cross_entropy(logits, token, smoothing):
    """Nats of one token under a target that gives `smoothing` evenly to all codes and the rest to the token."""
    nats = np.log(np.exp(logits).sum()) - logits
    return sum(((1 - smoothing) * (i == token) + smoothing / len(logits)) * nats[i] for i in range(len(logits)))


def filtered(logits, temperature, top_k, top_p):
    """Logits of one token; those that top-k, then top-p at this temperature, leave out are -inf."""
    order = sorted(range(len(logits)), key=lambda i: (-logits[i], i))
    order = order[: top_k or len(order)]
    weights = [np.exp((logits[i] - logits[order[0]]) / max(temperature, 1e-9)) for i in order]
    kept, total = set(), 0.0
    for i, weight in zip(order, weights, strict=True):
        if total < top_p or top_p == 1:
            kept.add(i)
        total += weight / sum(weights)
    return np.array([logit if i in kept else -np.inf for i, logit in enumerate(logits)])


def sampled_tokens(logits_of, noise_of, length, temperature, top_k, top_p):
    """One sequence, every token from a fresh pass over the whole sequence: no cache.

    `logits_of` takes tokens (t,) to logits (t, K), `noise_of` a position to Gumbel noise (K,).
    """
    tokens = np.zeros(length, dtype=np.int32)
    for i in range(length):
        logits = filtered(logits_of(tokens)[i], temperature, top_k, top_p)
        tokens[i] = np.argmax(logits + temperature * noise_of(i))
    return tokens


def jacobian(function, z, step=1e-5):
    """Central differences, one axis at a time: (outputs, inputs), in float64."""
    columns = []
    for i in range(z.size):
        move = np.zeros(z.size)
        move[i] = step
        move = move.reshape(z.shape)
        columns.append((np.ravel(function(z + move)) - np.ravel(function(z - move))) / (2 * step))
    return np.stack(columns, axis=1)


def metric(function, z):
    """JᵀJ of one latent (d,)."""
    j = jacobian(function, z)
    return j.T @ j


def token_metric(function, grid, row, column):
    """JᵀJ of one token of a grid (h, w, d), the other tokens held fixed."""

    def of_token(z):
        changed = np.array(grid)
        changed[row, column] = z
        return function(changed)

    return metric(of_token, np.array(grid[row, column]))


def cross_products(factors):
    """Mean of FᵀF' over all ordered pairs of different factors F, F'."""
    pairs = [a.T @ b for i, a in enumerate(factors) for j, b in enumerate(factors) if i != j]
    return sum(pairs) / len(pairs)


def nearest_under(z, codes, g):
    """Index of the code that minimises (c - z)ᵀG(c - z), code after code."""
    costs = [(code - z) @ g @ (code - z) for code in codes.astype(np.float64)]
    return int(np.argmin(costs))


def gaussian_kl(mean, logvar):
    """Of one diagonal Gaussian from the unit Gaussian, in nats, dimension after dimension."""
    return sum(0.5 * (m**2 + np.exp(v) - 1 - v) for m, v in zip(mean.ravel(), logvar.ravel(), strict=True))


def polyline_length(function, start, end, segments):
    """Sum of image distances along a straight walk, one step after the other, in float64."""
    images = [
        np.asarray(function(start + i / segments * (end - start)), np.float64).ravel() for i in range(segments + 1)
    ]
    return sum(np.sqrt(((b - a) ** 2).sum()) for a, b in itertools.pairwise(images))


def token_polyline_length(function, grids, sender, receiver, segments):
    """Mean of the walks between two tokens, named by (grid, row, column), in the context of either."""
    lengths = []
    for own, other in ((sender, receiver), (receiver, sender)):

        def of_token(z, own=own):
            changed = np.array(grids[own[0]])
            changed[own[1:]] = z
            return function(changed)

        lengths.append(polyline_length(of_token, grids[own], grids[other], segments))
    return np.mean(lengths)


def polyline_points(corners, lengths, segments):
    """Points at equal lengths along a polyline, found side by side."""
    points = []
    for i in range(segments + 1):
        left = i / segments * sum(lengths)
        side = 0
        while side < len(lengths) - 1 and left > lengths[side]:
            left -= lengths[side]
            side += 1
        points.append(corners[side] + left / lengths[side] * (corners[side + 1] - corners[side]))
    return np.array(points)


def coordinate_descent(error, tokens, k, sweeps, places=None):
    """Tokens (t, S) after each was set, in turn, to the code with the least `error` of all tokens; the first of equals.

    They are set in raster order, or in that of `places`.
    """
    tokens = tokens.copy()
    for _ in range(sweeps):
        for place in places or np.ndindex(*tokens.shape):
            trials = []
            for code in range(k):
                tokens[place] = code
                trials.append(error(tokens))
            tokens[place] = int(np.argmin(trials))
    return tokens


def best_tokens(error, shape, k):
    """The tokens with the least error of all k^(t·S) that there are."""
    trials = [np.array(flat).reshape(shape) for flat in np.ndindex(*(k,) * int(np.prod(shape)))]
    return min(trials, key=error)


def summed_codes(codes, tokens):
    """Latents (t, d) of tokens (t, S): sums of their codes, one by one."""
    latents = np.zeros((len(tokens), codes.shape[2]))
    for q, row in enumerate(tokens):
        for s, code in enumerate(row):
            latents[q] += codes[s, code]
    return latents


def residual_tokens(z, codes):
    """Tokens (S,) of one latent as a residual VQ chooses them: each code is the nearest to the residual of the ones before."""
    tokens = []
    for each in codes:
        tokens.append(int(np.argmin(np.sum((each - z) ** 2, axis=1))))
        z = z - each[tokens[-1]]
    return np.array(tokens)


def metric_mean(points, metrics, weights):
    """The minimiser of Σ w (c − z)ᵀG(c − z), by its normal equations, summed one by one."""
    total, moment = 0, 0
    for z, g, w in zip(points, metrics, weights, strict=True):
        total, moment = total + w * g, moment + w * g @ z
    return np.linalg.solve(total, moment)


def moving_codes(counts, sums, latents, tokens, decay):
    """Moving averages of a VQ-VAE after one batch, code by code."""
    counts, sums = decay * counts, decay * sums
    for z, token in zip(latents, tokens, strict=True):
        counts[token] += 1 - decay
        sums[token] += (1 - decay) * z
    return counts, sums


def frechet(real, generated):
    """Fréchet distance of two Gaussians with the moments of two sets, by a matrix square root."""
    gap = real.mean(axis=0) - generated.mean(axis=0)
    a, b = np.cov(real, rowvar=False), np.cov(generated, rowvar=False)
    return gap @ gap + np.trace(a + b - 2 * np.real(scipy.linalg.sqrtm(a @ b)))


def closeness(real, generated, k):
    """Precision, recall, density and coverage of single images, by their definitions."""

    def distance(x, y):
        return math.fsum((x - y) ** 2)  # rounded once, so that copies are as far as they are

    def radii(features):
        return [sorted(distance(x, y) for x in features)[k] for y in features]  # the nearest is the image itself

    balls, others = (list(zip(features, radii(features), strict=True)) for features in (real, generated))
    density = [sum(distance(y, x) <= radius for x, radius in balls) / k for y in generated]
    precision = [value > 0 for value in density]
    recall = [any(distance(x, y) <= radius for y, radius in others) for x in real]
    coverage = [any(distance(x, y) <= radius for y in generated) for x, radius in balls]
    return precision, recall, density, coverage


def convolve(image, kernel, bias=None, stride=1, before=1, after=1):
    """An image (h, w, c) under a kernel (out, in, height, width) as PyTorch has it, with zeros around the image."""
    x = np.pad(np.asarray(image, np.float64), ((before, after), (before, after), (0, 0)))
    kernel = np.asarray(kernel, np.float64)
    out, _, height, width = kernel.shape
    result = np.empty(((x.shape[0] - height) // stride + 1, (x.shape[1] - width) // stride + 1, out))
    for i in range(result.shape[0]):
        for j in range(result.shape[1]):
            window = x[stride * i : stride * i + height, stride * j : stride * j + width]
            result[i, j] = kernel.reshape(out, -1) @ window.transpose(2, 0, 1).ravel()
    return result if bias is None else result + np.asarray(bias, np.float64)


def repeat_pixels(image):
    """Every pixel twice along both sides."""
    return image.repeat(2, axis=0).repeat(2, axis=1)


def tiny_layers(tensors, x, decoder):
    """TAESD, layer after layer of its author's nn.Sequential: an image to latents, or latents to an image."""
    last = max(int(name.split(".")[0]) for name in tensors)
    for layer in range(last + 1):
        weight, bias = (tensors.get(f"{layer}.{part}") for part in ("weight", "bias"))
        if weight is not None:
            x = convolve(x, weight, bias, stride=2 if bias is None and not decoder else 1)
        elif f"{layer}.conv.0.weight" in tensors:
            inside = x
            for number in (0, 2, 4):
                parts = (tensors[f"{layer}.conv.{number}.{part}"] for part in ("weight", "bias"))
                inside = convolve(inside if number == 0 else np.maximum(inside, 0), *parts)
            x = np.maximum(inside + x, 0)
        elif layer == 0:
            x = 3 * np.tanh(np.asarray(x, np.float64) / 3)
        else:
            x = np.maximum(x, 0) if layer == 2 else repeat_pixels(x)
    return x


def silu(x):
    """Of every number: times its logistic function."""
    return x / (1 + np.exp(-x))


def normalise_groups(x, tensors, name, groups):
    """Each group of channels of an image (h, w, c) to mean 0 and variance 1, then scaled and shifted by channel."""
    x = x.copy()
    size = x.shape[2] // groups
    for first in range(0, x.shape[2], size):
        group = x[:, :, first : first + size]
        x[:, :, first : first + size] = (group - group.mean()) / np.sqrt(group.var() + 1e-6)
    return x * np.float64(tensors[f"{name}.weight"]) + np.float64(tensors[f"{name}.bias"])


class SlowAutoencoderKL:
    """AutoencoderKL on one image at a time, by the names of its tensors."""

    def __init__(self, tensors, groups, scaling, shift):
        self.tensors, self.groups, self.scaling, self.shift = tensors, groups, scaling, shift

    def convolved(self, x, name, **how):
        if f"{name}.weight" not in self.tensors:
            return x
        return convolve(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"], **how)

    def normalized(self, x, name):
        return normalise_groups(x, self.tensors, name, self.groups)

    def resnet(self, x, name):
        inside = self.convolved(silu(self.normalized(x, f"{name}.norm1")), f"{name}.conv1")
        inside = self.convolved(silu(self.normalized(inside, f"{name}.norm2")), f"{name}.conv2")
        return self.convolved(x, f"{name}.conv_shortcut", before=0, after=0) + inside

    def attention(self, x, name):
        if f"{name}.to_q.weight" not in self.tensors:
            return x
        pixels = self.normalized(x, f"{name}.group_norm").reshape(-1, x.shape[2])

        def matrix(rows, layer):
            weight, bias = (np.float64(self.tensors[f"{name}.{layer}.{part}"]) for part in ("weight", "bias"))
            return rows @ weight.T + bias

        q, k, v = (matrix(pixels, layer) for layer in ("to_q", "to_k", "to_v"))
        weights = np.exp(q @ k.T / np.sqrt(x.shape[2]))
        return x + matrix(weights / weights.sum(axis=1, keepdims=True) @ v, "to_out.0").reshape(x.shape)

    def middle(self, x, name):
        x = self.attention(self.resnet(x, f"{name}.resnets.0"), f"{name}.attentions.0")
        return self.resnet(x, f"{name}.resnets.1")

    def levels(self, x, name, change):
        level = 0
        while f"{name}.{level}.resnets.0.norm1.weight" in self.tensors:
            block = 0
            while f"{name}.{level}.resnets.{block}.norm1.weight" in self.tensors:
                x = self.resnet(x, f"{name}.{level}.resnets.{block}")
                block += 1
            x = change(x, f"{name}.{level}")
            level += 1
        return x

    def encode(self, image):
        def halve(x, name):
            return self.convolved(x, f"{name}.downsamplers.0.conv", stride=2, before=0, after=1)

        x = self.convolved(2 * np.float64(image) - 1, "encoder.conv_in")
        x = self.middle(self.levels(x, "encoder.down_blocks", halve), "encoder.mid_block")
        x = self.convolved(silu(self.normalized(x, "encoder.conv_norm_out")), "encoder.conv_out")
        moments = self.convolved(x, "quant_conv", before=0, after=0)
        return (moments[:, :, : moments.shape[2] // 2] - self.shift) * self.scaling

    def decode(self, latents):
        def double(x, name):
            there = f"{name}.upsamplers.0.conv.weight" in self.tensors
            return self.convolved(repeat_pixels(x), f"{name}.upsamplers.0.conv") if there else x

        x = self.convolved(np.float64(latents) / self.scaling + self.shift, "post_quant_conv", before=0, after=0)
        x = self.middle(self.convolved(x, "decoder.conv_in"), "decoder.mid_block")
        x = self.levels(x, "decoder.up_blocks", double)
        return (self.convolved(silu(self.normalized(x, "decoder.conv_norm_out")), "decoder.conv_out") + 1) / 2


def coloured_band(jacobian, radius, spacing):
    """Blocks (h, w, b, d, d) of JᵀJ from the Jacobian (H, W, C, h, w, d), where tokens that are `spacing` apart move at once.

    What a token's own response is taken to be is all that moves in the s x s tokens' pixels around it.
    """
    height, width, _, h, w, d = jacobian.shape
    side, reach = (height // h, width // w), spacing // 2
    responses = np.zeros((h, w, *jacobian.shape[:3], d))
    for y, x in np.ndindex(h, w):
        together = jacobian[:, :, :, y % spacing :: spacing, x % spacing :: spacing].sum(axis=(3, 4))
        rows = slice(max(0, y - reach) * side[0], (y + reach + 1) * side[0])
        columns = slice(max(0, x - reach) * side[1], (x + reach + 1) * side[1])
        responses[y, x, rows, columns] = together[rows, columns]
    steps = list(itertools.product(range(-radius, radius + 1), repeat=2))
    band = np.zeros((h, w, len(steps), d, d))
    for y, x in np.ndindex(h, w):
        for o, (down, right) in enumerate(steps):
            if 0 <= y + down < h and 0 <= x + right < w:
                here, there = (responses[at].reshape(-1, d) for at in ((y, x), (y + down, x + right)))
                band[y, x, o] = here.T @ there
    return band


def dense_of_band(band):
    """JᵀJ (t·d, t·d) with these blocks, and 0 elsewhere."""
    h, w, b, d, _ = band.shape
    radius = (round(b**0.5) - 1) // 2
    gram = np.zeros((h, w, d, h, w, d))
    for y, x in np.ndindex(h, w):
        for o, (down, right) in enumerate(itertools.product(range(-radius, radius + 1), repeat=2)):
            if 0 <= y + down < h and 0 <= x + right < w:
                gram[y, x, :, y + down, x + right] = band[y, x, o]
    return gram.reshape(h * w * d, -1)


def reach(jacobian):
    """How many rows or columns of tokens the response to a move of one token goes beyond it, at most."""
    height, width, _, h, w, _ = jacobian.shape
    moved = np.abs(jacobian).max(axis=(2, 5)) > 1e-9
    pairs = np.argwhere(moved)
    return max(max(abs(i * h // height - y), abs(j * w // width - x)) for i, j, y, x in pairs)


def near_tokens(h, w, radius):
    """For every token of a grid in raster order all that are at most `radius` rows and columns from it, itself among them."""
    places = list(np.ndindex(h, w))
    return [
        [other for other, (v, u) in enumerate(places) if abs(v - y) <= radius and abs(u - x) <= radius]
        for y, x in places
    ]
