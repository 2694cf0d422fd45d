package libdpo;

/** `text` is without special tokens; `stopped`: it ended by itself, not at max_new_tokens. */
public record Completion(String text, int[] ids, boolean stopped) {}
