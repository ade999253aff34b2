"""Compiled searches of a graph: from all medoids at once, and from one node as far as it matters.

The kernels of `geovq.medoids.nearest`, `geovq.medoids.seeding` and `geovq.medoids.swap`, in numba. They trust their input: the
arrays of a checked graph, and states that these kernels made.

A candidate x matters to the nodes that it is nearer to than their second nearest medoid is. Every node on a shortest path from x
to such a node is one as well, so a search from x that goes no further knows all distances that decide what a swap gains: the sums
of FasterPAM (Schubert & Rousseeuw 2021, "Fast and eager k-medoids clustering"), for all K medoids that x could replace at once.

Equally near medoids come in the order of their nodes. So, where sums of lengths are exact
(`geovq.medoids.cost.with_exact_sums`), a state does not depend on how it was reached, and the nodes that have a medoid among
their nearest two are joined to it by such nodes.

All kernels stand in one file because numba's cache does not see that a function in another one has changed.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

_ARITY = 4

# Share of the range of waiting distances that the next heap takes: 0.05 to 0.2 are equally fast, one heap for all 1.4x slower.
_NEXT = 0.1


class Arcs(NamedTuple):
    """Graph of n nodes: the arrays of a csr_array."""

    indptr: np.ndarray
    indices: np.ndarray
    lengths: np.ndarray


class Cost(NamedTuple):
    """What is to be small: Σ weight · distance^power."""

    weights: np.ndarray
    """Of the nodes (n,)."""
    power: int
    """1 or 2."""


class State(NamedTuple):
    """K >= 2 medoids, and what every node knows of them."""

    medoids: np.ndarray
    """Distinct nodes (K,)."""
    near: np.ndarray
    """Nodes of the nearest and the second nearest medoid (n, 2)."""
    reach: np.ndarray
    """How far they are (n, 2)."""
    label: np.ndarray
    """Index of a medoid among the K (n,); -1 for other nodes."""
    loss: np.ndarray
    """How much the cost rises if a medoid leaves and none comes (K + 1,); the last entry is free."""


class Work(NamedTuple):
    """What a search writes to. Between searches `distance` is infinite, `slot` -1 and `change` 0."""

    distance: np.ndarray
    """(n,)"""
    slot: np.ndarray
    """Index of a node in the heap (n,); -1 outside."""
    keys: np.ndarray
    """Heap of distances (n,)."""
    nodes: np.ndarray
    """Their nodes (n,)."""
    found: np.ndarray
    """Nodes that wait, or that were found (n,)."""
    change: np.ndarray
    """What a candidate adds to the loss of each medoid (K + 1,)."""


def new_state(n: int, medoids: np.ndarray) -> State:
    """A state to be filled by `two_nearest`: 28 bytes a node."""
    k = len(medoids)
    return State(
        medoids.astype(np.int32), np.empty((n, 2), np.int32), np.empty((n, 2)), np.empty(n, np.int32), np.empty(k + 1)
    )


def new_work(n: int, k: int = 1) -> Work:
    """Arrays for one thread: 28 bytes a node."""
    return Work(
        np.full(n, np.inf),
        np.full(n, -1, np.int32),
        np.empty(n),
        np.empty(n, np.int32),
        np.empty(n, np.int32),
        np.zeros(k + 1),
    )


@njit(nogil=True, cache=True)
def _rise(heap, hole, key, node):
    """Puts (key, node) into the heap, at a hole or above it."""
    while hole > 0:
        parent = (hole - 1) // _ARITY
        if heap.keys[parent] <= key:
            break
        heap.keys[hole] = heap.keys[parent]
        heap.nodes[hole] = heap.nodes[parent]
        heap.slot[heap.nodes[hole]] = hole
        hole = parent
    heap.keys[hole] = key
    heap.nodes[hole] = node
    heap.slot[node] = hole


@njit(nogil=True, cache=True)
def _lower(heap, size, key, node):
    """Puts a node into a heap of `size`, or brings it forward; returns the size after."""
    if heap.slot[node] < 0:
        _rise(heap, size, key, node)
        return size + 1
    _rise(heap, heap.slot[node], key, node)
    return size


@njit(nogil=True, cache=True)
def _pop(heap, size):
    """Takes the least out of a heap of `size`; its node."""
    least = heap.nodes[0]
    heap.slot[least] = -1
    size -= 1
    if size > 0:
        key, node = heap.keys[size], heap.nodes[size]
        hole = 0
        while True:
            child = _ARITY * hole + 1
            if child >= size:
                break
            for other in range(child + 1, min(child + _ARITY, size)):
                if heap.keys[other] < heap.keys[child]:
                    child = other
            if heap.keys[child] >= key:
                break
            heap.keys[hole] = heap.keys[child]
            heap.nodes[hole] = heap.nodes[child]
            heap.slot[heap.nodes[hole]] = hole
            hole = child
        heap.keys[hole] = key
        heap.nodes[hole] = node
        heap.slot[node] = hole
    return least


@njit(nogil=True, cache=True)
def nearest(arcs, sources, near, reach, space):
    """Nearest source of every node, and how far it is: Dijkstra from all sources at once.

    The heap holds the distances up to a bound, the other nodes wait in a list: so it stays small.

    Args:
        arcs: The graph.
        sources: Distinct nodes.
        near: (n,), written: the node of the nearest source; -1 where no path leads to one.
        reach: (n,), written: the length of the path; infinite where there is none.
        space: Work.
    """
    near[:] = -1
    reach[:] = np.inf
    waiting = 0
    for source in sources:
        near[source] = source
        reach[source] = 0.0
        space.found[waiting] = source
        waiting += 1
    while waiting > 0:
        low, high = np.inf, 0.0
        for u in space.found[:waiting]:
            low, high = min(low, reach[u]), max(high, reach[u])
        bound = low + _NEXT * (high - low)
        size, kept = 0, 0
        for u in space.found[:waiting]:
            if reach[u] <= bound:
                size = _lower(space, size, reach[u], u)
            else:
                space.found[kept] = u
                kept += 1
        waiting = kept
        while size > 0:
            u = _pop(space, size)
            size -= 1
            from_source, source = reach[u], near[u]
            for arc in range(arcs.indptr[u], arcs.indptr[u + 1]):
                v = arcs.indices[arc]
                length, before = from_source + arcs.lengths[arc], reach[v]
                if length < before:
                    reach[v] = length
                    near[v] = source
                    if length <= bound:
                        size = _lower(space, size, length, v)
                    elif before == np.inf:
                        space.found[waiting] = v
                        waiting += 1
                elif length == before and source < near[v]:
                    near[v] = source
        kept = 0
        for u in space.found[:waiting]:
            if reach[u] > bound:
                space.found[kept] = u
                kept += 1
        waiting = kept


@njit(nogil=True, cache=True)
def shorten(arcs, reach, source, space):
    """Lowers `reach` (n,) to what one more source gives; searches no further than where it is the nearest."""
    reach[source] = 0.0
    size = _lower(space, 0, 0.0, source)
    while size > 0:
        u = _pop(space, size)
        size -= 1
        for arc in range(arcs.indptr[u], arcs.indptr[u + 1]):
            v = arcs.indices[arc]
            length = reach[u] + arcs.lengths[arc]
            if length < reach[v]:
                reach[v] = length
                size = _lower(space, size, length, v)


@njit(nogil=True, cache=True)
def two_nearest(arcs, cost, state, space):
    """Fills the state of `state.medoids` on a connected graph."""
    n = len(state.label)
    near, reach = np.empty(n, np.int32), np.empty(n)
    nearest(arcs, state.medoids, near, reach, space)
    state.near[:, 0], state.reach[:, 0] = near, reach
    state.near[:, 1], state.reach[:, 1] = -1, np.inf
    state.label[:] = -1
    for p in range(len(state.medoids)):
        state.label[state.medoids[p]] = p
    nodes = np.arange(n)
    _fill_second(arcs, state, nodes, space)
    recount(cost, state)


@njit(nogil=True, cache=True)
def recount(cost, state):
    """Losses from the distances alone: many small changes add up their rounding."""
    state.loss[:] = 0.0
    _count(cost, state, np.arange(len(state.label)), 1.0)


@njit(nogil=True, cache=True)
def gains(arcs, cost, state, candidates, change, leaving, space):
    """The best swap with each candidate.

    Args:
        arcs: The graph.
        cost: What is to be small.
        state: Of K >= 2 medoids.
        candidates: Nodes (c,).
        change: (c,), written: what the swap adds to the cost, negative where it gains; 0 for a medoid.
        leaving: (c,), written: index of the medoid that leaves; -1 for a medoid.
        space: Work.
    """
    for c in range(len(candidates)):
        x = candidates[c]
        if state.label[x] >= 0:
            change[c] = 0.0
            leaving[c] = -1
            continue
        count = _explore(arcs, state, x, space)
        shared = 0.0
        for u in space.found[:count]:
            from_x = _to_power(space.distance[u], cost.power)
            first, second = _to_power(state.reach[u, 0], cost.power), _to_power(state.reach[u, 1], cost.power)
            space.change[state.label[state.near[u, 0]]] += cost.weights[u] * (max(from_x, first) - second)
            shared += cost.weights[u] * min(from_x - first, 0.0)
            space.distance[u] = np.inf
        best = 0
        for p in range(1, len(state.medoids)):
            if state.loss[p] + space.change[p] < state.loss[best] + space.change[best]:
                best = p
        change[c] = shared + state.loss[best] + space.change[best]
        leaving[c] = best
        space.change[:] = 0.0


@njit(nogil=True, cache=True)
def swap(arcs, cost, state, leaving, x, space):
    """Puts node x in the place of one medoid, and updates the state around the node that comes and the one that leaves."""
    gone, free = state.medoids[leaving], len(state.medoids)
    state.label[x] = free
    near_x = space.found[: _explore(arcs, state, x, space)]
    _count(cost, state, near_x, -1.0)
    for u in near_x:
        from_x = space.distance[u]
        space.distance[u] = np.inf
        if _before(from_x, x, state.reach[u, 0], state.near[u, 0]):
            state.near[u, 1], state.reach[u, 1] = state.near[u, 0], state.reach[u, 0]
            state.near[u, 0], state.reach[u, 0] = x, from_x
        else:
            state.near[u, 1], state.reach[u, 1] = x, from_x
    _count(cost, state, near_x, 1.0)

    near_gone = space.found[: _bereft(arcs, state, gone, space)]
    _count(cost, state, near_gone, -1.0)
    for u in near_gone:
        if state.near[u, 0] == gone:
            state.near[u, 0], state.reach[u, 0] = state.near[u, 1], state.reach[u, 1]
        state.near[u, 1], state.reach[u, 1] = -1, np.inf
    _fill_second(arcs, state, near_gone, space)
    _count(cost, state, near_gone, 1.0)

    state.label[gone] = -1
    state.label[x] = leaving
    state.medoids[leaving] = x
    state.loss[leaving] = state.loss[free]
    state.loss[free] = 0.0


@njit(nogil=True, cache=True)
def _to_power(distance, power):
    return distance if power == 1 else distance * distance


@njit(nogil=True, cache=True)
def _before(length, node, other_length, other):
    """Whether a medoid comes before another."""
    return length < other_length or (length == other_length and node < other)


@njit(nogil=True, cache=True)
def _count(cost, state, nodes, sign):
    """Adds the nodes' share of the loss of their nearest medoids, or takes it away."""
    for u in nodes:
        rise = _to_power(state.reach[u, 1], cost.power) - _to_power(state.reach[u, 0], cost.power)
        state.loss[state.label[state.near[u, 0]]] += sign * cost.weights[u] * rise


@njit(nogil=True, cache=True)
def _explore(arcs, state, x, space):
    """Finds all nodes that x is nearer to than their second medoid, and how far it is; the number of them."""
    count = 0
    space.distance[x] = 0.0
    size = _lower(space, 0, 0.0, x)
    while size > 0:
        u = _pop(space, size)
        size -= 1
        space.found[count] = u
        count += 1
        from_x = space.distance[u]
        for arc in range(arcs.indptr[u], arcs.indptr[u + 1]):
            v = arcs.indices[arc]
            length = from_x + arcs.lengths[arc]
            if length < space.distance[v] and _before(length, x, state.reach[v, 1], state.near[v, 1]):
                space.distance[v] = length
                size = _lower(space, size, length, v)
    return count


@njit(nogil=True, cache=True)
def _bereft(arcs, state, gone, space):
    """Finds all nodes that have a medoid among their nearest two; the number of them."""
    space.found[0] = gone
    space.slot[gone] = 0
    count, done = 1, 0
    while done < count:
        u = space.found[done]
        done += 1
        for arc in range(arcs.indptr[u], arcs.indptr[u + 1]):
            v = arcs.indices[arc]
            if space.slot[v] < 0 and (state.near[v, 0] == gone or state.near[v, 1] == gone):
                space.slot[v] = 0
                space.found[count] = v
                count += 1
    for u in space.found[:count]:
        space.slot[u] = -1
    return count


@njit(nogil=True, cache=True)
def _fill_second(arcs, state, nodes, space):
    """Second nearest medoids of nodes that know their nearest alone; all others know both."""
    near, reach = state.near, state.reach
    size = 0
    for u in nodes:
        for arc in range(arcs.indptr[u], arcs.indptr[u + 1]):
            v = arcs.indices[arc]
            rank = 0 if near[v, 0] != near[u, 0] else 1
            length = reach[v, rank] + arcs.lengths[arc]
            if near[v, rank] >= 0 and _before(length, near[v, rank], reach[u, 1], near[u, 1]):
                reach[u, 1] = length
                near[u, 1] = near[v, rank]
    for u in nodes:
        if near[u, 1] >= 0:
            size = _lower(space, size, reach[u, 1], u)
    while size > 0:
        u = _pop(space, size)
        size -= 1
        medoid = near[u, 1]
        for arc in range(arcs.indptr[u], arcs.indptr[u + 1]):
            v = arcs.indices[arc]
            length = reach[u, 1] + arcs.lengths[arc]
            if medoid != near[v, 0] and _before(length, medoid, reach[v, 1], near[v, 1]):
                shorter = length < reach[v, 1]
                reach[v, 1] = length
                near[v, 1] = medoid
                if shorter:
                    size = _lower(space, size, length, v)
