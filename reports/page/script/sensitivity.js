// The heat map of sensitivities: what one layer at one width does to the error, all others at their most precise.
function setUpSensitivity() {
  if (!data.changes.length) return;
  byId("sensitivity").hidden = false;
  chart("sensitivity-chart", [], drawSensitivity);
}

function drawSensitivity(node) {
  const groups = [...new Set(data.changes.map((change) => change.group))];
  const choices = [...new Set(data.changes.map((change) => change.choice))]
    .sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const cells = new Map(data.changes.map((change) => [`${change.choice} ${change.group}`, change]));
  const cellOf = (group, choice) => cells.get(`${choice} ${group}`);
  const z = groups.map((group) => choices.map((choice) => cellOf(group, choice)?.rise ?? null));
  const scale = palette().scale;
  const isNew = !node.data;
  const drawn = Plotly.react(node, [{
    type: "heatmap", x: choices.map((_, index) => index), y: groups.map((_, index) => index), z, hoverinfo: "none", texttemplate: z.flat().length <= 160 ? "%{z:.2f}" : "",
    xgap: 2, ygap: 2,
    zmin: 0, colorscale: scale.map((color, index) => [index / (scale.length - 1), color]), hoverongaps: false,
    colorbar: { title: { text: "Rise of the logit of the error", side: "right" }, thickness: 12, outlinewidth: 0 },
  }], layout({
    height: 140 + Math.min(groups.length, 80) * 20,
    xaxis: { title: { text: "Weight / activation bits" }, showgrid: false, tickvals: choices.map((_, index) => index), ticktext: choices.map(plain) },
    yaxis: {
      autorange: "reversed", showgrid: false, tickvals: groups.map((_, index) => index),
      ticktext: groups.map((name) => plain(shortened(name, innerWidth < 600 ? 14 : 28))),
    },
    margin: { l: 8, r: 12, t: 12, b: 48 },
  }), CONFIG);
  if (isNew) {
    tooltip(node, (point) => {
      const cell = cellOf(groups[point.y], choices[point.x]);
      return [cell.group, `W/A ${cell.choice}: ${cell.rise >= 0 ? "+" : "−"}${Math.abs(cell.rise)} logit`, counted(cell.images, "image")];
    });
  }
  const worst = data.changes.reduce((a, b) => (b.rise > a.rise ? b : a));
  describe(node, `Heat map of ${counted(groups.length, "layer")} by width. The most sensitive: ${worst.group} at ${worst.choice}, ${worst.rise} logit.`);
  return drawn;
}
