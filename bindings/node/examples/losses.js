'use strict';
// Every DPO loss of six pairs, beside the numbers of TRL 1.16's own code, and what its gradient says.
//
//   node losses.js
const dpo = require('libdpo');

// Summed log-probs of six chosen and six rejected answers, under the policy and the reference model, and their tokens.
const logps = {
  policyChosen: [-12.5, -40.1, -3.2, -101.3, -22.75, -21.0],
  policyRejected: [-14.25, -35.6, -9.9, -120.8, -22.75, -18.0],
  referenceChosen: [-13.0, -38.7, -7.4, -99.9, -22.75, -15.0],
  referenceRejected: [-13.75, -36.9, -2.1, -121.4, -22.75, -23.5],
  chosenTokens: [5, 17, 2, 48, 9, 20],
  rejectedTokens: [6, 12, 4, 51, 9, 7],
};

// TRL's loss, and d loss / d log-prob of the first chosen answer.
const rows = [
  ['sigmoid', 0, 0.7768796493, -0.007917013542],
  ['hinge', 0, 1.086666667, -0.01666666667],
  ['ipo', 0, 23.08215154, -0.3211111111],
  ['exo_pair', 0.001, 2.908173382, -0.02829069255],
  ['nca_pair', 0, 1.427022091, -0.003854231755],
  ['robust', 0.1, 0.7835463159, -0.01000034688],
  ['bco_pair', 0, 1.443936804, -0.008125043392],
  ['sppo_hard', 0, 80.53333333, -1.5],
  ['aot', 0.1, 0.7166279173, -0.006250346875],
  ['aot_unpaired', 0.1, 0.7162914202, -0.006999822336],
  ['apo_zero', 0, 1.01382824, -0.004164063585],
  ['apo_down', 0, 0.9972287163, 7.796248137e-6],
  ['discopop', 0, 0.8486249926, -0.005111830724],
  ['sft', 0, 1.988613861, -0.009900990099],
  ['sigmoid_norm', 0, 0.6725016384, -0.001651389317],
];

const near = (found, expected) => Math.abs(found - expected) <= 1e-9 * Math.max(1, Math.abs(expected));

let good = true;
console.log('loss'.padEnd(14) + ['libdpo', 'TRL', 'gradient'].map((head) => head.padStart(14)).join(''));
for (const [name, labelSmoothing, loss, gradient] of rows) {
  const result = dpo.loss(logps, { loss_types: [name], label_smoothing: labelSmoothing });
  const same = near(result.loss, loss) && near(result.gradientChosen[0], gradient);
  const numbers = [result.loss.toPrecision(9), loss.toPrecision(9), result.gradientChosen[0].toPrecision(6)];
  console.log(name.padEnd(14) + numbers.map((number) => number.padStart(14)).join('') + (same ? '' : '   differs'));
  good &&= same;
}
console.log(good ? "All losses are TRL's." : "Some losses are not TRL's.");
process.exitCode = good ? 0 : 1;
