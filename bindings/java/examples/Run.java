import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import libdpo.Dataset;
import libdpo.Dpo;
import libdpo.DpoException;
import libdpo.Event;
import libdpo.ExportFormat;
import libdpo.Model;
import libdpo.TrainOptions;
import libdpo.Trainer;

/**
 * A run with progress that is cancelled, goes on where it stopped, and ends in an adapter for PEFT and llama.cpp.
 *
 *   java -cp libdpo.jar -Dlibdpo.directory=DIRECTORY-OF-libdpo_java.so Run.java MODEL PAIRS.jsonl DIRECTORY
 */
public class Run {
  public static void main(String[] arguments) {
    if (arguments.length != 3) {
      System.err.println("usage: java Run.java MODEL PAIRS.jsonl DIRECTORY");
      System.exit(2);
    }
    String directory = arguments[2];
    TrainOptions options = new TrainOptions()
        .loraR(8).loraTargetModules("all-linear").learningRate(5e-3).perDeviceTrainBatchSize(4).maxSteps(10);
    List<Double> losses = new ArrayList<>();
    Consumer<Event> progress = event -> {
      if (event.kind() == Event.Kind.STEP) {
        losses.add(event.metrics().loss());
        System.out.printf("step %d of %d: loss %.4f, margin %+.4f%n", event.metrics().step(),
            event.metrics().totalSteps(), event.metrics().loss(), event.metrics().rewardsMargins());
      } else if (event.kind() == Event.Kind.CHECKPOINT) {
        System.out.println("saved " + event.text());
      }
    };
    try (Model model = Model.open(arguments[0]);
        Dataset pairs = Dataset.open(model, arguments[1], options);
        Trainer trainer = Trainer.create(model, pairs, options)) {
      // As a window's Cancel button would do it, from whatever thread: here after four steps.
      boolean cancelled = false;
      try {
        trainer.run(directory, null, event -> {
          progress.accept(event);
          if (event.kind() == Event.Kind.STEP && event.metrics().step() == 4) {
            trainer.cancel();
          }
        });
      } catch (DpoException error) {
        if (error.status() != DpoException.CANCELLED) {
          throw error;
        }
        cancelled = true;
        System.out.printf("Cancelled after %d steps; the next run goes on.%n", losses.size());
      }
      int before = losses.size();
      trainer.run(directory, "last", progress);

      Dpo.exportModel(directory + "/final.h5", ExportFormat.PEFT, directory + "/peft", null);
      Dpo.exportModel(directory + "/final.h5", ExportFormat.GGUF_LORA, directory + "/adapter.gguf", null);
      System.out.printf("Adapters: %s/peft and %s/adapter.gguf%n", directory, directory);

      double last = losses.get(losses.size() - 1);
      try (Model tuned = Model.open(arguments[0], directory + "/peft", 0)) {
        boolean moved = tuned.score("The garden was", " quite wonderful.") != model.score("The garden was", " quite wonderful.");
        if (!cancelled || before >= 10 || losses.size() != 10 || last >= Math.log(2) || !moved) {
          System.out.printf("The run did not go as it should: %d steps, loss %.4f%n", losses.size(), last);
          System.exit(1);
        }
      }
    } catch (DpoException error) {
      System.err.println(error.statusName() + ": " + error.getMessage());
      System.exit(1);
    }
  }
}
