// Parallel coordinates: a line per finetuned candidate over the layers, its height the weight bits, its colour the accuracy.
const MAX_LINES = 150, MAX_LAYERS = 60;

function setUpParallel() {
  chart("parallel-chart", ["chosen", "limits"], drawParallel);
}

function drawParallel(node) {
  const final = rows.filter((row) => isDone(row) && stageOf(row) === data.final_stage && valueOf(row, "accuracy") !== null);
  const best = [...final].sort((a, b) => valueOf(b, "accuracy") - valueOf(a, "accuracy")).slice(0, MAX_LINES).reverse();
  const modules = data.configs.modules.slice(0, MAX_LAYERS);
  const [low, high] = extent(best.map((row) => valueOf(row, "accuracy")));
  const scale = palette().scale;
  const binOf = (row) => Math.min(Math.floor(((valueOf(row, "accuracy") - low) / (high - low || 1)) * scale.length), scale.length - 1);
  const drawn = Plotly.react(node, [
    ...scale.map((color, bin) => lines(best.filter((row) => binOf(row) === bin && isWithin(row)), modules, { color, width: best.length > 50 ? 0.8 : 1.2 }, 0.8)),
    lines(best.filter((row) => !isWithin(row)), modules, { color: palette().dimmed, width: 0.6 }, 0.25),
    lines([store.chosen], modules, { color: palette().picked, width: 3 }, 1),
    colourBar(scale, low, high),
  ], layout({
    height: 340, showlegend: false, hovermode: false,
    xaxis: {
      tickvals: modules.map((_, index) => index), showgrid: true, tickangle: -45,
      ticktext: modules.map((name) => plain(shortened(name, 18))), range: [-0.3, modules.length - 0.7],
    },
    yaxis: { title: { text: "Weight bits" }, tickvals: widthsOf(modules), type: "linear" },
  }), CONFIG);
  const said = [];
  if (final.length > best.length) said.push(`the ${best.length} most accurate of ${counted(final.length, "candidate")} are drawn`);
  if (data.configs.modules.length > modules.length) said.push(`the first ${modules.length} of ${data.configs.modules.length} layers`);
  byId("parallel-said").textContent = (said.length ? `Not all: ${said.join(", ")}. ` : "")
    + "Lines are set apart a little where they would cover each other. The thick line is the chosen candidate.";
  describe(node, `Weight bits of ${counted(modules.length, "layer")} for ${counted(best.length, "candidate")}, coloured by validation accuracy from ${low} to ${high} %.`);
  return drawn;
}

function lines(found, modules, line, opacity) {
  const x = [], y = [];
  for (const row of found) {
    const choices = choicesOf(row);
    const apart = found.length > 1 ? ((row * 0.618) % 1 - 0.5) * 0.3 : 0;
    modules.forEach((_, index) => { x.push(index); y.push(data.configs.choices[choices[index]].w + apart); });
    x.push(null); y.push(null);
  }
  return { type: "scatter", mode: "lines", x, y, line, opacity, hoverinfo: "skip" };
}

function widthsOf(modules) {
  const used = new Set(data.configs.codes.length ? data.configs.choices.map((choice) => choice.w) : []);
  if (modules.length && !data.configs.codes.some((code) => code.includes("0"))) used.delete(32);
  return [...used].sort((a, b) => a - b);
}

/** A bar that says which colour is which accuracy. */
function colourBar(scale, low, high) {
  return {
    type: "scatter", mode: "markers", x: [null], y: [null], hoverinfo: "skip",
    marker: {
      color: [low], cmin: low, cmax: high > low ? high : low + 1, showscale: true,
      colorscale: scale.flatMap((color, bin) => [[bin / scale.length, color], [(bin + 1) / scale.length, color]]),
      colorbar: { title: { text: "Accuracy [%]", side: "right" }, thickness: 12, outlinewidth: 0 },
    },
  };
}
