package libdpo;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/** A language model, or a reward model. */
public final class Model extends Handle {
  private Model(long pointer) {
    super(Native.MODEL, pointer);
  }

  /** A GGUF file, a Hugging Face directory or libdpo's HDF5 file. */
  public static Model open(String path) {
    return open(path, null, 0);
  }

  /** With an adapter on top (null: none), on so many threads (0: one a core). */
  public static Model open(String path, String adapter, int threads) {
    return new Model(Native.modelOpen(Native.utf8(path), Native.utf8(adapter), threads, false));
  }

  /** With the weights copied into memory instead of mapped. */
  public static Model load(String path, String adapter, int threads) {
    return new Model(Native.modelOpen(Native.utf8(path), Native.utf8(adapter), threads, true));
  }

  public ModelInfo info() {
    return (ModelInfo) Native.modelInfo(this);
  }

  /** "auto", "avx512", "avx2", "neon", "portable" or "openblas". */
  public void setEngine(String engine) {
    Native.modelSetEngine(this, Native.utf8(engine));
  }

  /** Ends a running call with DPO_ERROR_CANCELLED. Any thread. */
  public void cancel() {
    Native.cancel(Native.MODEL, this);
  }

  public int[] encode(String text, boolean addSpecialTokens) {
    return Native.modelEncode(this, Native.anyUtf8(text), addSpecialTokens);
  }

  public String decode(int... ids) {
    return Native.text(Native.modelDecode(this, ids));
  }

  /** `messages`: a JSON array of {"role", "content"}. */
  public String applyChatTemplate(String messages, boolean addGenerationPrompt) {
    return Native.text(Native.modelApplyChatTemplate(this, Native.utf8(messages), addGenerationPrompt));
  }

  /** The log-prob of a completion after a prompt, its end-of-sequence token included. */
  public double score(String prompt, String completion) {
    return score(List.of(prompt), List.of(completion)).sumLogps()[0];
  }

  /** Completion i after prompt i. */
  public Scores score(List<String> prompts, List<String> completions) {
    Scores scores = new Scores(new double[prompts.size()], new int[prompts.size()]);
    Native.modelScore(
        this, Native.utf8(prompts), Native.utf8(completions), scores.sumLogps(), scores.tokenCounts());
    return scores;
  }

  /** Completion j after prompt completionPrompts[j], as token ids. */
  public TokenScores scoreTokens(List<int[]> prompts, List<int[]> completions, int... completionPrompts) {
    int tokens = completions.stream().mapToInt(ids -> ids.length).sum();
    TokenScores scores = new TokenScores(new double[completions.size()], new float[tokens]);
    Native.modelScoreTokens(
        this, prompts.toArray(int[][]::new), completions.toArray(int[][]::new), completionPrompts, scores.sumLogps(),
        scores.tokenLogps());
    return scores;
  }

  /** A reward model's scores. */
  public double[] reward(List<String> prompts, List<String> completions) {
    double[] rewards = new double[prompts.size()];
    Native.modelReward(this, Native.utf8(prompts), Native.utf8(completions), rewards);
    return rewards;
  }

  public double[] rewardTokens(List<int[]> prompts, List<int[]> completions, int... completionPrompts) {
    double[] rewards = new double[completions.size()];
    Native.modelRewardTokens(
        this, prompts.toArray(int[][]::new), completions.toArray(int[][]::new), completionPrompts, rewards);
    return rewards;
  }

  public List<List<Completion>> generate(List<String> prompts, GenerationOptions options) {
    return generate(prompts, options, null);
  }

  /** num_return_sequences completions of each prompt. `options` and `onToken` may be null; what it throws stops the call. */
  public List<List<Completion>> generate(List<String> prompts, GenerationOptions options, Consumer<Token> onToken) {
    Callback callback = Callback.ofTokens(onToken);
    List<List<Completion>> out = new ArrayList<>();
    Callback.during(() -> {
      byte[][] given = Options.given("generation", options);
      for (Object[] row : Native.modelGenerate(this, Native.utf8(prompts), given, callback)) {
        List<Completion> completions = new ArrayList<>();
        for (Object completion : row) {
          completions.add((Completion) completion);
        }
        out.add(completions);
      }
    }, callback);
    return out;
  }

  /** dpo_model_evaluate, as JSON. All but `data` may be null; at most one of `judge` and `rewardModel`. */
  public String evaluate(
      String data, TrainOptions options, Model reference, GenerationOptions samples, Classifier judge, Model rewardModel) {
    return Native.text(Native.modelEvaluate(
        this, reference, Native.utf8(data), Options.given("training", options),
        samples == null ? null : Options.given("generation", samples), judge, rewardModel));
  }
}
