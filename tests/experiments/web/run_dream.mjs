// Dreams what is asked with the scripts of an exported folder, and prints it.
//
//     node run_dream.mjs FOLDER ASKED.json > DREAMT.json
//
// ASKED: { actions: [N][L], logits: steps with logits, luck: null or number };
// luck -1 draws the first token of the first start's first step L times.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { runInThisContext } from "node:vm";

const [folder, asked] = process.argv.slice(2);
for (const name of ["numbers.js", "atlas.js", "dream.js", "model.js", "starts.js"]) {
  runInThisContext(readFileSync(join(folder, name), "utf8"), { filename: name });
}
const { actions, logits, luck } = JSON.parse(readFileSync(asked, "utf8"));
const began = performance.now();
const dream = await PokeDreamer.open(pokeDreamerModel);
const opened = performance.now();
const dreamt = { open_ms: opened - began, runs: [] };
let steps = 0;
if (luck === -1) {
  const { state } = PokeDreamer.readStart(pokeDreamerStarts.starts[0]);
  const firsts = actions[0].map((action, own) => dream.step(state, action, PokeDreamer.chance(own, 0)).tokens[0]);
  process.stdout.write(JSON.stringify({ firsts }));
  process.exit();
}
actions.forEach((row, i) => {
  let { state } = PokeDreamer.readStart(pokeDreamerStarts.starts[i]);
  const first = logits ? {} : null;
  const run = { tokens: [], stoch: [], tiles: [Array.from(dream.tiles(state, first))], logits: [] };
  if (first) run.first = named(first);
  row.forEach((action, step) => {
    const told = step < logits ? {} : null;
    const chance = luck === null ? null : PokeDreamer.chance(luck, step);
    state = dream.step(state, action, chance, told);
    run.tokens.push(Array.from(state.tokens));
    run.stoch.push(Array.from(state.stoch));
    run.tiles.push(Array.from(dream.tiles(state, told)));
    if (told) run.logits.push({ ...named(told), deter: Array.from(state.deter) });
    steps += 1;
  });
  run.shades = Array.from(dream.atlas.shades(run.tiles.at(-1)));
  dreamt.runs.push(run);
});
dreamt.ms_a_step = (performance.now() - opened) / Math.max(steps, 1);
process.stdout.write(JSON.stringify(dreamt));

function named(told) {
  return Object.fromEntries(Object.entries(told).map(([key, x]) => [key, x && Array.from(x)]));
}
