package libdpo;

/** An answer that the policy gave. `promptIsChat`: the prompt is a JSON array of messages. `stopped`: it ended by itself. */
public record Answer(String prompt, String completion, boolean promptIsChat, boolean stopped) {}
