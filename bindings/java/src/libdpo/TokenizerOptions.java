// Made by options/generate.py from the tables beside it.
package libdpo;

/** How a byte-level BPE tokenizer is learned from text. What is not set keeps its default. */
public final class TokenizerOptions extends Options {
  public TokenizerOptions() {
    super("tokenizer");
  }

  /**
   * Tokens, special ones and the 256 bytes included. There are fewer where the text has no more pairs. At least 1.
   * Default: 8192.
   */
  public TokenizerOptions vocabularySize(int value) {
    set("vocabulary_size", value);
    return this;
  }

  /** Pairs that occur less often become no token. At least 0. Default: 2. */
  public TokenizerOptions minimumFrequency(int value) {
    set("minimum_frequency", value);
    return this;
  }

  /** How text is cut into words. One of "gpt2", "smollm", "llama3", "qwen2". Default: "gpt2". */
  public TokenizerOptions preTokenizer(String value) {
    set("pre_tokenizer", value);
    return this;
  }

  /** "chatml", or Jinja. chatml also makes &lt;|im_end|> the token that ends answers. Default: none. */
  public TokenizerOptions chatTemplate(String value) {
    set("chat_template", value);
    return this;
  }

  /** Begins a sequence. Default: &lt;|endoftext|>. */
  public TokenizerOptions bosToken(String value) {
    set("bos_token", value);
    return this;
  }

  /** Ends documents and answers. Default: &lt;|endoftext|>, with chatml &lt;|im_end|>. */
  public TokenizerOptions eosToken(String value) {
    set("eos_token", value);
    return this;
  }

  /** Fills up batches in other programs. Default: &lt;|endoftext|>. */
  public TokenizerOptions padToken(String value) {
    set("pad_token", value);
    return this;
  }

  /** More tokens that are never part of a word, in the order of their ids. */
  public TokenizerOptions specialTokens(String... value) {
    set("special_tokens", value);
    return this;
  }

  /** Replace what stands there. Default: off. */
  public TokenizerOptions overwrite(boolean value) {
    set("overwrite", value);
    return this;
  }
}
