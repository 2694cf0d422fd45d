// Compiled, not run: the declarations allow what there is, and refuse what there is not.
import * as dpo from '../index';

export async function use(): Promise<number> {
  const model = await dpo.Model.open('model.gguf', { adapter: null });
  const one: number = await model.score('prompt', ' completion');
  const { sumLogps } = await model.score(['prompt'], [' completion']);
  const options: dpo.TrainOptions = { method: 'dpo', lora_r: 16, max_kl: null };
  // @ts-expect-error: no such option
  const wrong: dpo.TrainOptions = { lora_rank: 16 };
  // @ts-expect-error: no such method
  const unknown: dpo.TrainOptions = { method: 'dpoo' };
  // @ts-expect-error: made by Model.open
  new dpo.Model();
  const dataset = await dpo.Dataset.open(model, 'pairs.jsonl', options);
  const trainer = await dpo.Trainer.create({ model, dataset, options: { ...wrong, ...unknown } });
  await trainer.run('run', { onEvent: ({ metrics }) => console.log(metrics?.loss), signal: new AbortController().signal });
  trainer.setReward(async (answers) => answers.map(({ completion }) => completion.length));
  const feedback = await dpo.Feedback.open('feedback.jsonl');
  const result = await feedback.train(model, 'feedback', { min_records: 4, training: { lora_r: 8 } });
  const { loss } = dpo.loss({ policyChosen: [-1], policyRejected: new Float64Array([-2]) }, { loss_types: ['ipo'] });
  model.close();
  return one + sumLogps[0] + result.steps + loss;
}
