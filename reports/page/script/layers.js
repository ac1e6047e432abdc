// The layers of the chosen candidate: bits, and where it was priced layer by layer, what each costs and where.
const [ENERGY, CYCLES, USE, BOUND, STAYS, LEVELS] = [0, 1, 2, 3, 4, 5];

/** One price per layer of a candidate; null where only the total is known. */
function pricesOf(row) {
  const of = data.prices.of[row];
  return of ? of.map((index) => data.prices.rows[index]) : null;
}

function showLayers() {
  const prices = pricesOf(store.chosen);
  const choices = choicesOf(store.chosen).map((index) => data.configs.choices[index]);
  const total = prices ? prices.reduce((sum, price) => sum + price[ENERGY], 0) : 0;
  const titles = ["Layer", "Out", "W/A bits", "Weights", "MACs"];
  if (prices) titles.push(`Energy [${data.prices.unit}]`, "Share", "Cycles", "Use", "Bound");
  const stays = prices && prices.some((price) => price[STAYS]);
  if (stays) titles.push("Stays");
  const isText = (index) => [0, 1].includes(index) || index >= 9;
  const head = el("tr", {}, ...titles.map((title, index) => el("th", { scope: "col", class: isText(index) ? "left" : "right" }, title)));
  const body = data.prices.layers.map((layer, index) => {
    const choice = layer.module < 0 ? null : choices[layer.module];
    const cells = [layer.name, layer.out, choice ? choice.label : MISSING, layer.weights.toLocaleString("en"), layer.macs];
    if (prices) cells.push(...priced(prices[index], total, stays));
    return el("tr", {}, ...cells.map((text, at) => {
      const short = at ? text : shortened(text);
      return el("td", { class: isText(at) ? "left" : "right", title: short === text ? null : text }, short);
    }));
  });
  byId("layer-table").replaceChildren(el("table", {}, el("thead", {}, head), el("tbody", {}, ...body)));
  byId("layer-said").textContent = prices ? "" : unpriced();
  byId("energy-box").hidden = !prices;
}

function priced(price, total, stays) {
  return [
    String(price[ENERGY]), total ? `${((price[ENERGY] / total) * 100).toFixed(1)}\u00a0%` : MISSING,
    price[CYCLES].toLocaleString("en"), `${price[USE]}\u00a0%`, price[BOUND], ...(stays ? [price[STAYS]] : []),
  ];
}

function unpriced() {
  if (!Object.keys(data.prices.of).length) return "No accelerator was an objective: layers have no prices.";
  const priced = Object.keys(data.prices.of).length;
  return `The price of each layer is here for ${priced} candidates only: the pick, members of the front and uniform ones, `
    + `as far as that goes. Save the YAML below, and hwmodel cost --config prices this one.`;
}

/** Energy of every layer, stacked by where it goes. */
function drawEnergy(node) {
  const prices = pricesOf(store.chosen);
  if (!prices) return null;
  const layers = data.prices.layers;
  const at = layers.map((_, index) => index);
  const series = palette().series;
  const isNew = !node.data;
  const traces = data.prices.levels.map((level, index) => ({
    type: "bar", orientation: "h", name: plain(level), y: at, x: prices.map((price) => price[LEVELS + index]), hoverinfo: "none",
    marker: { color: series[index % series.length], pattern: { shape: index < series.length ? "" : "/" } },
  }));
  const every = Math.ceil(layers.length / 80);
  const named = at.filter((index) => index % every === 0);
  const drawn = Plotly.react(node, traces, layout({
    barmode: "stack", bargap: 0.25, height: 110 + Math.min(layers.length, 80) * 18, showlegend: true,
    xaxis: { title: { text: `Energy per inference [${data.prices.unit}]` }, rangemode: "tozero" },
    yaxis: {
      autorange: "reversed", showgrid: false, tickvals: named,
      ticktext: named.map((index) => plain(shortened(layers[index].name, innerWidth < 600 ? 16 : 28))),
    },
    legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", font: { size: 12 } }, margin: { l: 8, r: 12, t: 12, b: 48 },
  }), CONFIG);
  if (isNew) {
    tooltip(node, (point) => [
      layers[point.pointNumber].name, `${data.prices.levels[point.curveNumber]} ${point.x} ${data.prices.unit}`,
      `layer ${pricesOf(store.chosen)[point.pointNumber][ENERGY]} ${data.prices.unit}`,
    ]);
  }
  const most = at.reduce((best, index) => (prices[index][ENERGY] > prices[best][ENERGY] ? index : best), 0);
  describe(node, `Energy of ${counted(layers.length, "layer")} of ${nameOf(store.chosen)}, stacked by memory and arithmetic. `
    + `The most goes to ${layers[most].name}: ${prices[most][ENERGY]} ${data.prices.unit}.`);
  return drawn;
}
