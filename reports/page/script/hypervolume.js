// How the front grew with the scores.
function setUpHypervolume() {
  if (!data.history.length) return;
  byId("hypervolume").hidden = false;
  chart("hypervolume-chart", [], drawHypervolume);
}

function drawHypervolume(node) {
  const colour = palette();
  const drawn = Plotly.react(node, data.history.map(({ stage, scores, volume }) => ({
    type: "scatter", mode: "lines", name: stage === "ptq" ? "quantized (PTQ)" : "finetuned (QAT)", x: scores, y: volume,
    line: { color: colour[stage], width: 2, shape: "hv", dash: stage === "ptq" ? "dot" : "solid" },
    hovertemplate: "after %{x} scores: %{y:.4f}<extra></extra>",
  })), layout({
    height: 300, showlegend: true, xaxis: { title: { text: "Scores of the stage" }, rangemode: "tozero" },
    yaxis: { title: { text: "Dominated share of the box" } }, legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom" },
  }), CONFIG);
  const last = data.history.at(-1);
  describe(node, `Hypervolume over scores: ${last.volume[0]} after the first, ${last.volume.at(-1)} after ${last.scores.at(-1)} (${last.stage.toUpperCase()}).`);
  return drawn;
}
