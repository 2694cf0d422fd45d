'use strict';
// A run with progress that is cancelled, goes on where it stopped, and ends in an adapter for PEFT and llama.cpp.
//
//   node run.js MODEL PAIRS.jsonl DIRECTORY
const path = require('node:path');
const dpo = require('libdpo');

async function main(modelPath, pairsPath, directory) {
  const options = {
    lora_r: 8, lora_target_modules: ['all-linear'], learning_rate: 5e-3, per_device_train_batch_size: 4, max_steps: 10,
  };
  const model = await dpo.Model.open(modelPath);
  const dataset = await dpo.Dataset.open(model, pairsPath, options);
  const trainer = await dpo.Trainer.create({ model, dataset, options });

  const losses = [];
  const progress = ({ kind, text, step, totalSteps, metrics }) => {
    if (kind === 'checkpoint') console.log(`saved ${text}`);
    if (kind !== 'step') return;
    losses.push(metrics.loss);
    console.log(
      `step ${step} of ${totalSteps}: loss ${metrics.loss.toFixed(4)}, margin ${metrics['rewards/margins'].toFixed(4)}`,
    );
  };

  // As a Cancel button would do it: here after four steps.
  const button = new AbortController();
  let cancelled = false;
  const onEvent = (event) => {
    progress(event);
    if (event.kind === 'step' && event.step === 4) button.abort();
  };
  try {
    await trainer.run(directory, { onEvent, signal: button.signal });
  } catch (error) {
    if (error.name !== 'AbortError') throw error;
    cancelled = true;
    console.log(`Cancelled after ${losses.length} steps; the next run goes on.`);
  }
  const before = losses.length;
  await trainer.run(directory, { resume: 'last', onEvent: progress });

  const final = path.join(directory, 'final.h5');
  await dpo.exportModel(final, 'peft', path.join(directory, 'peft'));
  await dpo.exportModel(final, 'gguf-lora', path.join(directory, 'adapter.gguf'));
  console.log(`Adapters: ${directory}/peft and ${directory}/adapter.gguf`);

  const tuned = await dpo.Model.open(modelPath, { adapter: path.join(directory, 'peft') });
  const pair = ['The garden was', ' quite wonderful.'];
  const moved = (await tuned.score(...pair)) !== (await model.score(...pair));
  const good = cancelled && before < 10 && losses.length === 10 && losses.at(-1) < Math.log(2) && moved;
  if (!good) throw new Error(`The run did not go as it should: ${losses.length} steps, loss ${losses.at(-1)}`);
}

if (process.argv.length !== 5) {
  console.error('usage: node run.js MODEL PAIRS.jsonl DIRECTORY');
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(`${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
});
