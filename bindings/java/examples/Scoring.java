import java.util.List;
import libdpo.Completion;
import libdpo.DpoException;
import libdpo.GenerationOptions;
import libdpo.Model;
import libdpo.ModelInfo;
import libdpo.Scores;

/**
 * How likely a model finds answers, whole and token by token, and an answer of its own, shown while it is drawn.
 *
 *   java -cp libdpo.jar -Dlibdpo.directory=DIRECTORY-OF-libdpo_java.so Scoring.java MODEL
 */
public class Scoring {
  public static void main(String[] arguments) {
    if (arguments.length != 1) {
      System.err.println("usage: java Scoring.java MODEL");
      System.exit(2);
    }
    try (Model model = Model.open(arguments[0])) {
      ModelInfo info = model.info();
      System.out.printf("%s: %s, %d parameters%n", arguments[0], info.architecture(), info.parameters());

      String prompt = "The film was";
      List<String> answers = List.of(" a joy from start to end.", " a waste of time.");
      Scores scores = model.score(List.of(prompt, prompt), answers);
      for (int i = 0; i < answers.size(); i++) {
        System.out.printf("log p(\"%s\" | \"%s\") = %.4f, %d tokens%n", answers.get(i), prompt, scores.sumLogps()[i],
            scores.tokenCounts()[i]);
      }

      // The same by tokens: the end-of-sequence token counts where it is appended.
      int[] text = model.encode(answers.get(0), false);
      int[] tokens = java.util.Arrays.copyOf(text, text.length + 1);
      tokens[text.length] = info.eosToken();
      float[] logps =
          model.scoreTokens(List.of(model.encode(prompt, true)), List.of(tokens), 0).tokenLogps();
      double sum = 0;
      for (int i = 0; i < tokens.length; i++) {
        System.out.printf("  %-12s%9.4f%n", model.decode(tokens[i]), logps[i]);
        sum += logps[i];
      }

      System.out.print(prompt);
      GenerationOptions options = new GenerationOptions().maxNewTokens(12).temperature(0);
      List<List<Completion>> drawn =
          model.generate(List.of(prompt), options, token -> System.out.print(token.text()));
      System.out.println();

      boolean good = scores.sumLogps()[0] < 0 && scores.sumLogps()[1] < 0 && Math.abs(sum - scores.sumLogps()[0]) < 1e-3
          && drawn.get(0).get(0).ids().length > 0;
      if (!good) {
        System.out.printf("The tokens' log-probs do not add up to the answer's: %.6f%n", sum);
        System.exit(1);
      }
    } catch (DpoException error) {
      System.err.println(error.statusName() + ": " + error.getMessage());
      System.exit(1);
    }
  }
}
