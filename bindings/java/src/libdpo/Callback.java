package libdpo;

import java.util.function.Consumer;

/** What native code calls during a call. Keeps what the host's function throws until the call that it stops has ended. */
final class Callback {
  /** One of them is there. */
  private final Consumer<Event> onEvent;
  private final Consumer<Token> onToken;
  private final RewardFunction reward;
  private final Consumer<float[]> reduce;
  private final Consumer<Reading> onReading;
  private Throwable thrown;

  private Callback(
      Consumer<Event> onEvent, Consumer<Token> onToken, RewardFunction reward, Consumer<float[]> reduce,
      Consumer<Reading> onReading) {
    this.onEvent = onEvent;
    this.onToken = onToken;
    this.reward = reward;
    this.reduce = reduce;
    this.onReading = onReading;
  }

  static Callback ofEvents(Consumer<Event> function) {
    return function == null ? null : new Callback(function, null, null, null, null);
  }

  static Callback ofTokens(Consumer<Token> function) {
    return function == null ? null : new Callback(null, function, null, null, null);
  }

  static Callback ofAnswers(RewardFunction function) {
    return new Callback(null, null, function, null, null);
  }

  static Callback ofGradients(Consumer<float[]> function) {
    return function == null ? null : new Callback(null, null, null, function, null);
  }

  static Callback ofReading(Consumer<Reading> function) {
    return function == null ? null : new Callback(null, null, null, null, function);
  }

  /** Called by native code; false stops. */
  private boolean event(int kind, byte[] text, long done, long total, double[] metrics, byte[] json) {
    return call(() -> onEvent.accept(
        new Event(Event.Kind.of(kind), Native.text(text), done, total, Metrics.of(metrics, Native.text(json)))));
  }

  private boolean reading(byte[] phase, long done, long total, long rows) {
    return call(() -> onReading.accept(new Reading(Native.text(phase), done, total, rows)));
  }

  private boolean token(long prompt, long completion, int token, byte[] text) {
    return call(() -> onToken.accept(new Token((int) prompt, (int) completion, token, Native.text(text))));
  }

  private boolean answers(byte[][] prompts, byte[][] completions, int[] promptIsChat, int[] stopped, double[] rewards) {
    return call(() -> {
      Answer[] answers = new Answer[prompts.length];
      for (int i = 0; i < answers.length; i++) {
        answers[i] =
            new Answer(Native.text(prompts[i]), Native.text(completions[i]), promptIsChat[i] != 0, stopped[i] != 0);
      }
      double[] given = reward.rewards(java.util.List.of(answers));
      if (given.length != rewards.length) {
        throw new IllegalArgumentException("expected " + rewards.length + " rewards, got " + given.length);
      }
      System.arraycopy(given, 0, rewards, 0, given.length);
    });
  }

  /** What the function leaves in `gradients` goes on. */
  private boolean gradients(float[] gradients) {
    return call(() -> reduce.accept(gradients));
  }

  private boolean call(Runnable body) {
    if (thrown != null) {
      return false;
    }
    try {
      body.run();
      return true;
    } catch (Throwable error) {
      thrown = error;
      return false;
    }
  }

  /** Runs a native call and throws what a callback threw, unchanged, whatever became of the call. */
  static void during(Runnable call, Callback... callbacks) {
    DpoException failure = null;
    try {
      call.run();
    } catch (DpoException error) {
      failure = error;
    }
    for (Callback callback : callbacks) {
      if (callback != null && callback.thrown != null) {
        Throwable thrown = callback.thrown;
        callback.thrown = null;
        Callback.<RuntimeException>raise(thrown);
      }
    }
    if (failure != null) {
      throw failure;
    }
  }

  @SuppressWarnings("unchecked")
  private static <E extends Throwable> void raise(Throwable error) throws E {
    throw (E) error;
  }
}
