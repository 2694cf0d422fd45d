'use strict';
// How likely a model finds answers, whole and token by token, and an answer of its own, shown while it is drawn.
//
//   node scoring.js MODEL
const dpo = require('libdpo');

async function main(path) {
  const model = await dpo.Model.open(path);
  const { architecture, parameters, eosToken } = model.info;
  console.log(`${path}: ${architecture}, ${parameters} parameters`);

  const prompt = 'The film was';
  const answers = [' a joy from start to end.', ' a waste of time.'];
  const { sumLogps, tokenCounts } = await model.score(answers.map(() => prompt), answers);
  answers.forEach((answer, i) => {
    console.log(`log p("${answer}" | "${prompt}") = ${sumLogps[i].toFixed(4)}, ${tokenCounts[i]} tokens`);
  });

  // The same by tokens: the end-of-sequence token counts where it is appended.
  const tokens = [...model.encode(answers[0], { addSpecialTokens: false }), eosToken];
  const { tokenLogps } = await model.scoreTokens([model.encode(prompt)], [tokens], [0]);
  let sum = 0;
  tokens.forEach((token, i) => {
    console.log(`  ${model.decode([token]).padEnd(12)}${tokenLogps[i].toFixed(4).padStart(9)}`);
    sum += tokenLogps[i];
  });

  process.stdout.write(prompt);
  const options = { max_new_tokens: 12, temperature: 0 };
  const drawn = await model.generate([prompt], options, { onToken: ({ text }) => void process.stdout.write(text) });
  console.log();

  const good =
    sumLogps.every((logp) => logp < 0) && Math.abs(sum - sumLogps[0]) < 1e-3 && drawn[0][0].ids.length > 0;
  if (!good) throw new Error(`The tokens' log-probs do not add up to the answer's: ${sum}`);
}

if (process.argv.length !== 3) {
  console.error('usage: node scoring.js MODEL');
  process.exit(2);
}
main(process.argv[2]).catch((error) => {
  console.error(`${error.code ?? error.name}: ${error.message}`);
  process.exitCode = 1;
});
