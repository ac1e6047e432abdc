// The chosen candidate: its numbers beside the pick, its layers, its file and its command.
function setUpChosen() {
  byId("copy-yaml").addEventListener("click", () => copy(byId("yaml").textContent, byId("yaml")));
  byId("copy-command").addEventListener("click", () => copy(byId("command").textContent, byId("command")));
  byId("back").addEventListener("click", () => choose(data.picked));
  watch(["chosen"], showChosen);
  showChosen();
  chart("energy-chart", ["chosen"], drawEnergy);
}

function showChosen() {
  const row = store.chosen;
  const marks = marksOf(row).filter((word) => word !== "front");
  byId("chosen-title").textContent = `Candidate ${nameOf(row)}${marks.length ? `, ${marks.join(", ")}` : ""}`;
  const stage = stageOf(row) === "qat" ? "finetuned (QAT)" : stageOf(row) === "ptq" ? "quantized without training (PTQ)" : "finetuned in part";
  byId("chosen-lead").textContent = `${stage}, ${isFront.has(row) ? "on the front" : "not on the front"}, from ${originOf(row)}`
    + (isDone(row) ? "" : `. Failed: ${all.errors[row]}`);
  byId("back").hidden = row === data.picked || data.picked < 0;
  byId("chosen-values").replaceChildren(...data.axes.filter((axis) => axis.values[row] !== null).flatMap((axis) => [
    el("dt", {}, axis.short), el("dd", {}, valueText(row, axis)),
  ]), el("dt", {}, "W/A bits"), el("dd", {}, configText(row)));
  byId("yaml").textContent = yamlOf(row);
  const [command, note] = commandOf(row);
  byId("command").textContent = command;
  byId("command-said").textContent = note;
  showLayers();
}

/** `1.61 µJ (+12.0 % to the pick)`; accuracies with their interval. */
function valueText(row, axis) {
  const text = written(row, axis.key);
  if (axis.better === "high") {
    const ends = interval(row, axis.key);
    return text + (ends ? ` (95 %: ${ends})` : "");
  }
  const own = axis.values[data.picked];
  if (row === data.picked || data.picked < 0 || !own) return text;
  const share = (axis.values[row] / own - 1) * 100;
  return `${text} (${share < 0 ? "−" : "+"}${Math.abs(share).toFixed(1)}\u00a0% to the pick)`;
}
