import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.CompletableFuture;
import libdpo.DpoException;
import libdpo.Event;
import libdpo.FeedbackOptions;
import libdpo.FeedbackResult;
import libdpo.Model;
import libdpo.TrainOptions;

/**
 * What people say of answers is recorded, trained on in the background, and used: the model likes the praised answer more.
 *
 *   java -cp libdpo.jar -Dlibdpo.directory=DIRECTORY-OF-libdpo_java.so Feedback.java MODEL DIRECTORY
 */
public class Feedback {
  public static void main(String[] arguments) throws Exception {
    if (arguments.length != 2) {
      System.err.println("usage: java Feedback.java MODEL DIRECTORY");
      System.exit(2);
    }
    Path directory = Files.createDirectories(Path.of(arguments[1]));
    Path adapters = directory.resolve("adapters");
    String prompt = "How was the film?";
    String liked = " It was a joy.";
    String disliked = " No idea.";
    try (libdpo.Feedback feedback = libdpo.Feedback.open(directory.resolve("feedback.jsonl").toString())) {
      for (int i = 0; i < 4; i++) {
        feedback.recordChoice(prompt, liked, disliked, 1);
        feedback.recordThumb("Question " + i, liked, true, 1);
        feedback.recordThumb("Question " + i, disliked, false, 1);
      }
      System.out.println(feedback.count() + " records");

      // Records may come in meanwhile; the model that answers is another object, and stays free.
      CompletableFuture<FeedbackResult> training = CompletableFuture.supplyAsync(() -> {
        FeedbackOptions options =
            new FeedbackOptions().minRecords(4).training(new TrainOptions().learningRate(5e-3));
        try (Model base = Model.open(arguments[0], null, 1)) {
          return feedback.train(base, adapters.toString(), options, event -> {
            if (event.kind() == Event.Kind.CHECKPOINT) {
              System.out.println("adapter: " + event.text());
            }
          });
        }
      });
      double before;
      try (Model model = Model.open(arguments[0])) {
        before = model.score(prompt, liked);
      }
      FeedbackResult result = training.get();
      System.out.printf("%d steps on %d records: %s%n", result.steps(), result.newRecords(), result.outcome());

      try (Model tuned = Model.open(arguments[0], adapters.resolve("adapter.h5").toString(), 0)) {
        double after = tuned.score(prompt, liked);
        System.out.printf("log p(\"%s\") %.4f before, %.4f after%n", liked, before, after);
        boolean good = result.outcome() == FeedbackResult.Outcome.FINISHED && result.steps() > 0 && after > before
            && Files.exists(adapters.resolve("adapter.gguf"));
        if (!good) {
          System.out.println("The adapter did not learn what was liked.");
          System.exit(1);
        }
      }
    } catch (DpoException error) {
      System.err.println(error.statusName() + ": " + error.getMessage());
      System.exit(1);
    }
  }
}
