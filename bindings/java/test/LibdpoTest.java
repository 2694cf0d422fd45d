import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.CyclicBarrier;
import java.util.stream.Stream;
import libdpo.Advantages;
import libdpo.Answer;
import libdpo.Classifier;
import libdpo.Collectives;
import libdpo.Communicator;
import libdpo.Completion;
import libdpo.Dataset;
import libdpo.Dpo;
import libdpo.DpoException;
import libdpo.Event;
import libdpo.ExportFormat;
import libdpo.Feedback;
import libdpo.FeedbackOptions;
import libdpo.FeedbackResult;
import libdpo.ForwardLogps;
import libdpo.GenerationOptions;
import libdpo.LossOptions;
import libdpo.Model;
import libdpo.Optimum;
import libdpo.PairLogps;
import libdpo.PairLosses;
import libdpo.Parameter;
import libdpo.PpoLosses;
import libdpo.PpoOptions;
import libdpo.PpoTokens;
import libdpo.RankedLosses;
import libdpo.Reading;
import libdpo.Scores;
import libdpo.TokenScores;
import libdpo.TrainOptions;
import libdpo.Trainer;

/** The binding gives what C gives, errors come as they are thrown, and what runs can be stopped. LIBDPO_FIXTURES: Tests/Fixtures. */
public class LibdpoTest {
  static final String FIXTURES = System.getenv().getOrDefault("LIBDPO_FIXTURES", "../../Tests/Fixtures");
  static final String LLAMA = FIXTURES + "/models/llama-tied";
  static final String QWEN = FIXTURES + "/models/qwen2";
  static final String PAIRS = FIXTURES + "/data/pairs.jsonl";
  static int passed;
  static int failed;

  static void check(boolean good, String what) {
    if (good) {
      passed++;
    } else {
      failed++;
      System.out.println("FAILED: " + what + " at " + new Throwable().getStackTrace()[1]);
    }
  }

  static void near(double found, double expected, double tolerance) {
    check(Math.abs(found - expected) <= tolerance * Math.max(1, Math.abs(expected)), found + " is not " + expected);
  }

  static void refused(int status, String word, Runnable call) {
    try {
      call.run();
      check(false, "not refused");
    } catch (DpoException error) {
      check(error.status() == status && error.getMessage().contains(word), error.statusName() + ": " + error.getMessage());
    }
  }

  /** The very object that a callback throws comes out. */
  static void thrown(Throwable expected, Runnable call) {
    try {
      call.run();
      check(false, "nothing was thrown");
    } catch (Throwable error) {
      check(error == expected, "thrown: " + error);
    }
  }

  static TrainOptions smallRun() {
    return new TrainOptions().loraR(4).loraTargetModules("all-linear").learningRate(5e-3).perDeviceTrainBatchSize(4)
        .maxSteps(6).maxLength(256);
  }

  static void losses() {
    PairLogps one =
        new PairLogps(new double[] {-12.5}, new double[] {-14.25}, new double[] {-13}, new double[] {-13.75});
    PairLosses result = Dpo.loss(one, null);
    near(result.loss(), Math.log(1 + Math.exp(-0.1 * (-12.5 + 14.25 + 13 - 13.75))), 1e-12);
    near(result.rewardChosen()[0], 0.05, 1e-12);
    PairLogps half = new PairLogps(one.policyChosen(), one.policyRejected(), one.referenceChosen(),
        one.referenceRejected(), null, null, new double[] {0.5});
    near(Dpo.loss(half, new LossOptions().lossTypes("sigmoid", "hinge").lossWeights(1, 0)).loss(), result.loss() / 2, 1e-12);
    refused(DpoException.INVALID_ARGUMENT, "beta", () -> Dpo.loss(one, new LossOptions().beta(-1)));
    refused(DpoException.INVALID_ARGUMENT, "referenceChosen", () -> Dpo.loss(
        new PairLogps(one.policyChosen(), one.policyRejected(), new double[2], one.referenceRejected()), null));
    check(Dpo.version().matches("\\d+\\.\\d+\\.\\d+"), Dpo.version());
  }

  static void closedForms() {
    PairLogps one =
        new PairLogps(new double[] {-12.5}, new double[] {-14.25}, new double[] {-13}, new double[] {-13.75});
    RankedLosses ranked = Dpo.rankedLoss(
        0.1, new int[] {2}, new double[] {1, 2}, new double[] {-12.5, -14.25}, new double[] {-13, -13.75}, null);
    near(ranked.loss(), Dpo.loss(one, null).loss(), 1e-12); // a pair is the ranking of two
    near(ranked.gradients()[0], Dpo.loss(one, null).gradientChosen()[0], 1e-12);
    refused(DpoException.INVALID_ARGUMENT, "ranks",
        () -> Dpo.rankedLoss(0.1, new int[] {3}, new double[2], new double[3], null, null));
    double[] prior = {Math.log(0.5), Math.log(0.3), Math.log(0.2)};
    Optimum best = Dpo.policyOptimum(prior, new double[] {1, 2, 0.5}, null);
    near(best.normalizer(), 0.1 * Math.log(0.5 * Math.exp(10) + 0.3 * Math.exp(20) + 0.2 * Math.exp(5)), 1e-9);
    near(Dpo.policyRewards(best.policyLogps(), prior, null)[1], 2 - best.normalizer(), 1e-9);
    near(Dpo.policyDivergence(prior, prior, new LossOptions().fDivergence("js_divergence")), 0, 1e-12);
    near(Dpo.bradleyTerry(new double[] {1}, new double[] {2})[0], 1 / (1 + Math.exp(1)), 1e-12);
    Advantages gae = Dpo.gae(new double[] {0, 0, 1}, new double[] {0.2, 0.4, 0.6}, new int[] {3}, 1, 1);
    near(gae.advantages()[0], 0.8, 1e-12); // lam 1: the return is the sum of what comes
    near(gae.returns()[2], 1, 1e-12);
    PpoLosses ppo = Dpo.ppoLoss(new PpoTokens(new float[] {-1, -2}, new float[] {-1, -2}, new float[] {1, -1}), null);
    near(ppo.loss(), 0, 1e-9); // ratio 1: minus the mean advantage
    near(ppo.gradientLogps()[0], -0.5, 1e-6);
    float[] zero = {0};
    PpoTokens valued = new PpoTokens(zero, zero, zero, new float[] {2}, new float[] {2}, new float[] {1});
    near(Dpo.ppoLoss(valued, new PpoOptions().vfCoef(1)).gradientValues()[0], 1, 1e-9);
  }

  static void options() {
    check(new TrainOptions().loraR(3).loraTargetModules("q_proj", "a\"b\n").maxKl(Double.NaN).toJson()
        .equals("{\"lora_r\": 3, \"lora_target_modules\": [\"q_proj\", \"a\\\"b\\u000a\"], \"max_kl\": null}"), "JSON");
    check(new FeedbackOptions().training(new TrainOptions().loraR(8)).toJson().equals("{\"training\": {\"lora_r\": 8}}"),
        "nested JSON");
    check(Dpo.describeOptions("training").contains("\"lora_r\""), "describe");
    refused(DpoException.INVALID_ARGUMENT, "no such kind", () -> Dpo.describeOptions("no such kind"));
    refused(DpoException.INVALID_ARGUMENT, "loss_type",
        () -> Dataset.ofJsonLines(null, "{}", new TrainOptions().lossType("no_such_loss")));
  }

  static void scoresAndGenerates() {
    refused(DpoException.IO, "no/such/model", () -> Model.open("no/such/model"));
    Model model = Model.open(LLAMA, null, 2);
    check(model.info().architecture().equals("llama") && model.info().layers() > 0, "info");
    String text = "The harbour was quiet – très bien! 👍🏽";
    int[] ids = model.encode(text, true);
    check(model.decode(ids).contains(text), "round trip");
    check(model.decode(model.encode("a\0b", false)).equals("a\0b"), "NUL in a text with a length");
    refused(DpoException.INVALID_ARGUMENT, "NUL", () -> model.score("a\0b", "c"));
    Scores both = model.score(List.of("The film was", "The film was"), List.of(" good.", " bad."));
    near(both.sumLogps()[1], model.score("The film was", " bad."), 1e-5);
    check(both.tokenCounts()[0] > 0, "token counts");
    TokenScores tokens = model.scoreTokens(List.of(Arrays.copyOf(ids, 4), Arrays.copyOf(ids, 3)),
        List.of(new int[] {ids[4], ids[5]}, new int[] {ids[4]}), 1, 0);
    near(tokens.tokenLogps()[0] + tokens.tokenLogps()[1], tokens.sumLogps()[0], 1e-5);
    near(tokens.tokenLogps()[2], tokens.sumLogps()[1], 1e-5);
    refused(DpoException.INVALID_ARGUMENT, "prompts", () -> model.score(List.of("a"), List.of("b", "c")));
    refused(DpoException.UNSUPPORTED, "reward", () -> model.reward(List.of("a"), List.of("b")));

    GenerationOptions options = new GenerationOptions().maxNewTokens(5).numReturnSequences(2);
    List<String> prompts = List.of("The film was", "She said:");
    int[] seen = {0};
    List<List<Completion>> answers = model.generate(prompts, options, token -> seen[0]++);
    int made = answers.stream().flatMap(List::stream).mapToInt(completion -> completion.ids().length).sum();
    check(answers.size() == 2 && answers.get(1).size() == 2 && seen[0] == made, "completions");
    RuntimeException own = new IllegalStateException("enough");
    thrown(own, () -> model.generate(prompts, options, token -> { throw own; }));
    Error worse = new AssertionError("worse");
    thrown(worse, () -> model.generate(prompts, options, token -> { throw worse; }));
    refused(DpoException.CANCELLED, "", () -> model.generate(prompts, options, token -> model.cancel()));
    check(Arrays.equals(model.generate(prompts, options).get(0).get(0).ids(), answers.get(0).get(0).ids()), "goes on");

    model.close();
    model.close();
    refused(DpoException.STATE, "released", () -> model.score("a", "b"));
  }

  static void trains(Path directory) throws IOException {
    TrainOptions options = smallRun();
    String run = directory.resolve("run").toString();
    try (Model model = Model.open(QWEN);
        Dataset rows = Dataset.open(model, PAIRS, options);
        Trainer trainer = Trainer.create(model, null, rows, rows, options)) {
      check(rows.info().rows() > 4 && trainer.plan().contains("\"steps\""), "plan");
      RuntimeException own = new RuntimeException("mine");
      thrown(own, () -> trainer.run(run, null, event -> {
        if (event.kind() == Event.Kind.STEP && event.metrics().step() == 2) {
          throw own;
        }
      }));
      List<Long> steps = new ArrayList<>();
      trainer.run(run, "last", event -> {
        if (event.kind() == Event.Kind.STEP) {
          steps.add(event.metrics().step());
          check(event.metrics().json().contains("rewards/margins") && event.metrics().totalSteps() == 6, "metrics");
        }
      });
      check(steps.equals(List.of(3L, 4L, 5L, 6L)), steps.toString());
      check(trainer.evaluate().loss() < Math.log(2), "evaluation");
      check(trainer.lastMetrics().contains("eval_loss"), "last metrics");
      refused(DpoException.STATE, "", trainer::step);
      check(Dpo.inspect(run + "/final.h5").contains("\"adapter\""), "inspect");
      Dpo.exportModel(run + "/final.h5", ExportFormat.PEFT, run + "/peft", null);
      check(Files.exists(Path.of(run, "peft/adapter_config.json")), "export");
      check(Dpo.checkExport(run + "/final.h5", run + "/peft", PAIRS, null, null).contains("\"survives\""), "check");
      RuntimeException late = new RuntimeException("nothing is left to stop");
      try (Trainer last = Trainer.create(model, rows, options)) {
        thrown(late, () -> last.run(run + "-last", null, event -> {
          if (event.text().endsWith("final.h5")) {
            throw late;
          }
        }));
      }
      try (Trainer second = Trainer.create(model, rows, options)) {
        Thread canceller = new Thread(second::cancel);
        canceller.start();
        canceller.join();
        refused(DpoException.CANCELLED, "", second::step);
        check(second.step().step() == 1, "the step after a cancelled one");
      } catch (InterruptedException error) {
        check(false, "interrupted");
      }
    }
  }

  static void ownLoss() {
    try (Model model = Model.open(QWEN);
        Dataset rows = Dataset.ofPairs(model, List.of("A", "B"), List.of(" good", " fine"), List.of(" bad", " no"), smallRun());
        Trainer trainer = Trainer.create(model, rows, smallRun().perDeviceTrainBatchSize(2))) {
      ForwardLogps logps = trainer.forward(0, 1);
      near(logps.policyChosen()[0], logps.referenceChosen()[0], 1e-5);
      PairLosses loss = Dpo.loss(new PairLogps(
          logps.policyChosen(), logps.policyRejected(), logps.referenceChosen(), logps.referenceRejected()), null);
      trainer.backward(loss.gradientChosen(), loss.gradientRejected());
      check(trainer.apply().gradNorm() > 0, "gradient");
      check(!Arrays.equals(trainer.forward(0, 1).policyChosen(), logps.policyChosen()), "the policy moved");
      float[] tokens = trainer.tokenLogps();
      Arrays.fill(tokens, 0.01f);
      trainer.backwardTokens(tokens);
      double norm = 0;
      for (float gradient : trainer.parameterGradients()) {
        norm += (double) gradient * gradient;
      }
      trainer.setReduce(gradients -> {
        for (int i = 0; i < gradients.length; i++) {
          gradients[i] /= 2;
        }
      });
      near(trainer.apply().gradNorm(), Math.sqrt(norm) / 2, 1e-4);
      RuntimeException own = new RuntimeException("the other machine is gone");
      trainer.setReduce(gradients -> { throw own; });
      thrown(own, trainer::step);
      trainer.setReduce(null);
      check(trainer.step().step() == 3, "the step after");
      List<Parameter> parameters = trainer.parameters();
      check(parameters.stream().mapToLong(Parameter::size).sum() == trainer.parameterValues().length, "sizes");
      check(Arrays.stream(parameters.get(0).shape()).reduce(1, (a, b) -> a * b) == parameters.get(0).size(), "shape");
      trainer.setParameterValues(new float[trainer.parameterValues().length]);
      ForwardLogps plain = trainer.forward(0, 1);
      near(plain.policyChosen()[0], plain.referenceChosen()[0], 1e-5); // an adapter of zeros adds nothing
      refused(DpoException.INVALID_ARGUMENT, "values", () -> trainer.setParameterValues(new float[1]));
      try (Dataset ids = Dataset.ofTokens(
          List.of(model.encode("A", false)), List.of(model.encode(" good", false)), List.of(model.encode(" bad", false)), null)) {
        check(ids.info().rows() == 1, "rows of token ids");
      }
      refused(DpoException.UNSUPPORTED, "reward",
          () -> model.rewardTokens(List.of(new int[] {1}), List.of(new int[] {2}), 0));
      refused(DpoException.INVALID_ARGUMENT, "", () -> trainer.forward(-1));
      refused(DpoException.INVALID_ARGUMENT, "gradientRejected", () -> trainer.backward(new double[2], new double[1]));
    }
  }

  static void rewards() {
    TrainOptions options = new TrainOptions().method("rloo").loraR(2).perDeviceTrainBatchSize(2).maxSteps(3)
        .maxCompletionLength(4);
    try (Model model = Model.open(QWEN);
        Dataset rows = Dataset.ofJsonLines(model, "{\"prompt\": \"The film\"}\n{\"prompt\": \"She said\"}\n", options);
        Trainer trainer = Trainer.create(model, rows, options)) {
      List<Answer> asked = new ArrayList<>();
      trainer.setReward(answers -> {
        asked.addAll(answers);
        return answers.stream().mapToDouble(answer -> answer.completion().length()).toArray();
      });
      check(trainer.step().step() == 1 && !asked.isEmpty() && asked.get(0).prompt().length() > 3, "rewards");
      RuntimeException own = new RuntimeException("no idea");
      trainer.setReward(answers -> { throw own; });
      thrown(own, trainer::step);
      trainer.setReward(answers -> new double[answers.size() + 1]);
      try {
        trainer.step();
        check(false, "too many rewards");
      } catch (IllegalArgumentException error) {
        check(error.getMessage().contains("rewards, got"), error.getMessage());
      }
      List<String> texts = List.of("a fine day", "a good day", "a bad day", "a vile day");
      try (Classifier judge = Classifier.train(texts, new int[] {1, 1, 0, 0}, 3, 0)) {
        double[] odds = judge.score(texts);
        check(odds[0] > 0 && odds[3] < 0, "log-odds");
        trainer.setReward(judge, false);
      }
      check(trainer.step().step() == 2, "rewards of a classifier");
    }
  }

  static void waits() throws InterruptedException {
    try (Model model = Model.open(QWEN)) {
      GenerationOptions options = new GenerationOptions().maxNewTokens(3);
      int[] status = {0};
      double[] score = {0};
      Runnable other = () -> {
        try {
          score[0] = model.score("The film was", " bad.");
        } catch (DpoException error) {
          status[0] = error.status();
        }
      };
      model.generate(List.of("The film was"), options, token -> {
        Thread thread = new Thread(other);
        thread.start();
        try {
          thread.join();
        } catch (InterruptedException error) {
          check(false, "interrupted");
        }
      });
      check(status[0] == DpoException.STATE, "a busy model refuses");
      model.setWait(Double.POSITIVE_INFINITY);
      List<Thread> threads = new ArrayList<>();
      model.generate(List.of("The film was"), options, token -> {
        threads.add(new Thread(other));
        threads.get(threads.size() - 1).start();
      });
      for (Thread thread : threads) {
        thread.join();
      }
      near(score[0], model.score("The film was", " bad."), 1e-6);
    }
  }

  static void otherData(Path directory) throws IOException {
    TrainOptions options = smallRun();
    String extra = directory.resolve("own.csv").toString();
    Files.writeString(Path.of(extra), "prompt,chosen,rejected\nA, good, bad\nB, fine, no\n");
    try (Model model = Model.open(QWEN); Dataset rows = Dataset.open(model, PAIRS, options)) {
      List<Reading> read = new ArrayList<>();
      Dataset both = Dataset.openAll(model, List.of(PAIRS, extra), options, read::add);
      Dataset own = Dataset.openAll(model, List.of(extra), options, null);
      check(both.info().rows() == rows.info().rows() + 2 && own.info().rows() == 2, both.info().toString());
      check(!read.isEmpty() && read.get(read.size() - 1).rows() > 0, read.toString());
      RuntimeException enough = new RuntimeException("enough");
      thrown(enough, () -> Dataset.openAll(model, List.of(PAIRS), options, reading -> {
        throw enough;
      }));
      Trainer trainer = Trainer.create(model, null, rows, rows, options);
      trainer.step();
      double loss = trainer.evaluate().loss();
      check(trainer.evaluate(rows).loss() == loss && trainer.evaluate(own).loss() != loss, "evaluation of other data");
      ForwardLogps scores = trainer.score(own);
      check(scores.policyRejected().length == 2, "a score for each row");
      near(scores.referenceChosen()[1], model.score("B", " fine"), 1e-4); // the model without an adapter
    }
  }

  /** Ranks that are threads: each puts its bytes where the others take them. */
  record Threads(int rank, byte[][][] sent, CyclicBarrier barrier) implements Collectives {
    @Override
    public int size() {
      return sent.length;
    }

    @Override
    public String name() {
      return "threads";
    }

    private static byte[] next(ByteBuffer buffer, int size) {
      byte[] bytes = new byte[size];
      buffer.get(bytes);
      return bytes;
    }

    private void receive(ByteBuffer receive) throws Exception {
      barrier.await();
      for (byte[][] parts : sent) {
        receive.put(parts[rank]);
      }
      barrier.await();
    }

    @Override
    public void allGather(ByteBuffer send, ByteBuffer receive, int[] sizes) throws Exception {
      byte[] own = next(send, sizes[rank]);
      sent[rank] = Stream.generate(() -> own).limit(size()).toArray(byte[][]::new);
      receive(receive);
    }

    @Override
    public void allToAll(ByteBuffer send, int[] sendSizes, ByteBuffer receive, int[] receiveSizes) throws Exception {
      sent[rank] = Arrays.stream(sendSizes).mapToObj(size -> next(send, size)).toArray(byte[][]::new);
      receive(receive);
    }
  }

  static float[] trained(Communicator ranks) {
    TrainOptions options = new TrainOptions().perDeviceTrainBatchSize(1).gradientAccumulationSteps(ranks == null ? 4 : 2)
        .learningRate(1e-3).threads(1);
    try (Model model = Model.open(LLAMA);
        Dataset dataset = Dataset.open(model, PAIRS, options);
        Trainer trainer = ranks == null ? Trainer.create(model, dataset, options)
            : Trainer.createDistributed(ranks, model, null, dataset, null, options)) {
      trainer.step();
      trainer.step();
      return trainer.parameterValues();
    }
  }

  static void ranksEndInTheSameBits() throws InterruptedException {
    float[] alone = trained(null);
    byte[][][] sent = new byte[2][][];
    CyclicBarrier barrier = new CyclicBarrier(2);
    float[][] together = new float[2][];
    List<Thread> threads = new ArrayList<>();
    for (int i = 0; i < 2; i++) {
      int rank = i;
      threads.add(new Thread(() -> {
        try (Communicator ranks = Communicator.of(new Threads(rank, sent, barrier))) {
          check(ranks.rank() == rank && ranks.size() == 2, "ranks");
          refused(DpoException.UNSUPPORTED, "cannot", () -> ranks.abort(3));
          together[rank] = trained(ranks);
        }
      }));
      threads.get(i).start();
    }
    for (Thread thread : threads) {
      thread.join();
    }
    check(Arrays.equals(together[0], alone) && Arrays.equals(together[1], alone), "two ranks end in the bits of one");

    Collectives broken = new Collectives() {
      @Override
      public int rank() {
        return 1;
      }

      @Override
      public int size() {
        return 2;
      }

      @Override
      public String name() {
        return "a broken engine";
      }

      @Override
      public void allGather(ByteBuffer send, ByteBuffer receive, int[] sizes) {
        throw new IllegalStateException("the cable is out");
      }

      @Override
      public void allToAll(ByteBuffer send, int[] sendSizes, ByteBuffer receive, int[] receiveSizes) {}
    };
    try (Communicator lost = Communicator.of(broken)) {
      refused(DpoException.IO, "the cable is out", () -> trained(lost));
    }
    refused(DpoException.INVALID_ARGUMENT, "rank 2", () -> Communicator.of(new Threads(2, sent, barrier)));
    refused(DpoException.IO, "/no/plug-in.so", () -> Communicator.mpi("/no/plug-in.so", 60));
  }

  static void learnsFromFeedback(Path directory) {
    String file = directory.resolve("feedback.jsonl").toString();
    String adapters = directory.resolve("adapters").toString();
    try (Feedback feedback = Feedback.open(file); Model model = Model.open(QWEN)) {
      long[] ids = Stream.of(0, 1, 2, 3).parallel().mapToLong(i -> feedback.recordThumb("Question " + i, " good", i % 2 == 0, 1))
          .sorted().toArray();
      check(Arrays.equals(ids, new long[] {1, 2, 3, 4}), "numbers of records");
      feedback.recordChoice("Question", " good", " bad", 2);
      feedback.recordJson("{\"prompt\": \"Question 9\", \"completion\": \" so\", \"label\": false}");
      check(feedback.count() == 6 && feedback.status(null).contains("\"choices\": 1"), feedback.status(null));
      refused(DpoException.INVALID_ARGUMENT, "prompt", () -> feedback.recordJson("{\"prompt\": 1}"));
      FeedbackOptions options = new FeedbackOptions().minRecords(2).training(new TrainOptions().loraR(2).numTrainEpochs(1));
      RuntimeException own = new RuntimeException("later");
      thrown(own, () -> feedback.train(model, adapters, options, event -> {
        if (event.kind() == Event.Kind.STEP) {
          throw own;
        }
      }));
      FeedbackResult result = feedback.train(model, adapters, options, null);
      check(result.outcome() == FeedbackResult.Outcome.FINISHED && result.steps() > 0, result.toString());
      check(feedback.train(model, adapters, options, null).outcome() == FeedbackResult.Outcome.NOTHING_NEW, "nothing new");
    }
  }

  /** Models that nobody closes are released by the collector. */
  static void collects() throws Exception {
    long before = 0;
    for (int i = 0; i < 200; i++) {
      Model.load(QWEN, null, 1).score("a", " b");
      if (i % 20 == 19) {
        System.gc();
        Thread.sleep(20);
      }
      if (i == 59) {
        before = residentMegabytes();
      }
    }
    long grown = residentMegabytes() - before;
    check(grown < 100, "grew by " + grown + " MB");
  }

  static long residentMegabytes() throws IOException {
    return Long.parseLong(Files.readString(Path.of("/proc/self/statm")).split(" ")[1]) / 256;
  }

  public static void main(String[] arguments) throws Exception {
    Path directory = Files.createTempDirectory("dpo-java-");
    try {
      losses();
      closedForms();
      options();
      scoresAndGenerates();
      trains(directory);
      ownLoss();
      rewards();
      waits();
      otherData(directory);
      ranksEndInTheSameBits();
      learnsFromFeedback(directory);
      collects();
    } catch (Throwable error) {
      failed++;
      error.printStackTrace(System.out);
    }
    try (Stream<Path> paths = Files.walk(directory)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.delete(path);
      }
    }
    System.out.println(passed + " passed, " + failed + " failed");
    System.exit(failed == 0 ? 0 : 1);
  }
}
