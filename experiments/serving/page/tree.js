// The tree of moments: how it grows with steps, and where each knot is drawn.

// The tree after a step to `moment`: the end one stands at moves along, unless
// it is worth keeping.
export function grow(tree, step) {
  if (tree.knots.some((knot) => knot.moment === step.moment)) {
    return { knots: tree.knots, here: step.moment };
  }
  const here = tree.knots.find((knot) => knot.moment === tree.here);
  const next = {
    moment: step.moment, before: tree.here, steps: step.steps, name: "",
    follows: false, luck: step.luck, agreed: step.agreed,
  };
  if (!here) return tree;
  const leads = tree.knots.some((knot) => knot.before === here.moment);
  const kept = here.before === null || here.name || here.follows || leads;
  if (kept) return { knots: [...tree.knots, next], here: step.moment };
  const knots = tree.knots.map((knot) =>
    knot === here ? { ...next, before: here.before } : knot);
  return { knots, here: step.moment };
}

// Column and lane of every knot: a branch has a lane of its own from its fork
// on, below those that began before it.
export function layout(knots) {
  const children = new Map();
  for (const knot of knots) {
    if (!children.has(knot.before)) children.set(knot.before, []);
    children.get(knot.before).push(knot);
  }
  const places = new Map();
  let lanes = 0;
  const waiting = (children.get(null) || []).map((knot) => [knot, 0, -1]);
  while (waiting.length) {
    const [knot, column, lane] = waiting.pop();
    const mine = lane < 0 ? lanes++ : lane;
    places.set(knot.moment, { column, lane: mine });
    const rest = children.get(knot.moment) || [];
    // The last one pushed comes next: the first child goes on in this lane.
    for (let i = rest.length - 1; i >= 0; i--) {
      waiting.push([rest[i], column + 1, i === 0 ? mine : -1]);
    }
  }
  let columns = 0;
  for (const place of places.values()) columns = Math.max(columns, place.column + 1);
  return { places, columns, lanes };
}

// Knots from the start to where one stands.
export function wayTo(knots, here) {
  const of = new Map(knots.map((knot) => [knot.moment, knot]));
  const way = new Set();
  for (let at = here; at !== null && of.has(at) && !way.has(at); at = of.get(at).before) {
    way.add(at);
  }
  return way;
}
