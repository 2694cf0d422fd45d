'use strict';
// What people say of answers is recorded, trained on in the background, and used: the model likes the praised answer more.
//
//   node feedback.js MODEL DIRECTORY
const fs = require('node:fs');
const path = require('node:path');
const dpo = require('libdpo');

async function main(modelPath, directory) {
  fs.mkdirSync(directory, { recursive: true });
  const feedback = await dpo.Feedback.open(path.join(directory, 'feedback.jsonl'));
  const [prompt, liked, disliked] = ['How was the film?', ' It was a joy.', ' No idea.'];
  for (let i = 0; i < 4; i++) {
    await feedback.recordChoice(prompt, liked, disliked);
    await feedback.recordThumb(`Question ${i}`, liked, true);
    await feedback.recordThumb(`Question ${i}`, disliked, false);
  }
  console.log(`${await feedback.count()} records`);

  // Records may come in meanwhile; the model that answers is another object, and stays free.
  const adapters = path.join(directory, 'adapters');
  const base = await dpo.Model.open(modelPath, { threads: 1 });
  const options = { min_records: 4, training: { learning_rate: 5e-3 } };
  const training = feedback.train(base, adapters, options, {
    onEvent: ({ kind, text }) => {
      if (kind === 'checkpoint') console.log(`adapter: ${text}`);
    },
  });
  const model = await dpo.Model.open(modelPath);
  const before = await model.score(prompt, liked);
  const { outcome, steps, newRecords } = await training;
  console.log(`${steps} steps on ${newRecords} records: ${outcome}`);

  const tuned = await dpo.Model.open(modelPath, { adapter: path.join(adapters, 'adapter.h5') });
  const after = await tuned.score(prompt, liked);
  console.log(`log p("${liked}") ${before.toFixed(4)} before, ${after.toFixed(4)} after`);
  const good =
    outcome === 'finished' && steps > 0 && after > before && fs.existsSync(path.join(adapters, 'adapter.gguf'));
  if (!good) throw new Error('The adapter did not learn what was liked.');
}

if (process.argv.length !== 4) {
  console.error('usage: node feedback.js MODEL DIRECTORY');
  process.exit(2);
}
main(...process.argv.slice(2)).catch((error) => {
  console.error(`${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
});
