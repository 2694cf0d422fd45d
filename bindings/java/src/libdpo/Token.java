package libdpo;

/** A token as it is drawn, for completion `completion` of prompt `prompt`. `text` may be "" while a character is incomplete. */
public record Token(int prompt, int completion, int token, String text) {}
