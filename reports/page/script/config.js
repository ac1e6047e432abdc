// The file of a candidate, as hwmodel reads it, and what to type to use it.
function yamlOf(row) {
  const { head, keys, choices, tail } = data.configs;
  const layers = choicesOf(row).flatMap((choice, module) => {
    const lines = choices[choice].yaml;
    return lines.length ? [`  ${keys[module]}:`, ...lines.map((line) => `    ${line}`)] : [];
  });
  const metrics = [`  stage: ${stageOf(row)}`, `  candidate: ${all.number[row]}`, `  validation_percent: ${valueOf(row, "accuracy")}`];
  const text = layers.length ? `layers:\n${layers.join("\n")}\n` : "layers: {}\n";
  return `${head}${text}metrics:\n${metrics.join("\n")}\n${tail}`;
}

/** What makes the run follow a member of the front, or trains another candidate; and a word on it. */
function commandOf(row) {
  const number = all.number[row];
  if (isFront.has(row)) {
    const design = all.design.length && all.design[row] >= 0 ? ` --design ${all.design[row]}` : "";
    return [`hwmodel pick ${data.folder} ${number}${design}`, row === data.picked ? "This one is picked." : "best.yaml, weights, tables and this page follow."];
  }
  return [
    `hwmodel finetune --config ${data.folder}/candidate-${number}.yaml --epochs 20 -o finetuned.safetensors`,
    `Not on the front, so hwmodel pick does not take it: save the YAML as candidate-${number}.yaml in the folder of the run.`,
  ];
}
