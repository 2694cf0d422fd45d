// Made by options/generate.py from the tables beside it.
package libdpo;

/**
 * The sizes of a new model. What is not set follows from the others as the family's models usually have it. What is not
 * set keeps its default.
 */
public final class ModelShape extends Options {
  public ModelShape() {
    super("shape");
  }

  /** Family of the model, by the model_type of Hugging Face's config.json. Default: "llama". */
  public ModelShape family(String value) {
    set("family", value);
    return this;
  }

  /** A directory with tokenizer.json, or a model: the new model gets its tokenizer. Default: none. */
  public ModelShape tokenizer(String value) {
    set("tokenizer", value);
    return this;
  }

  /** Tokens of the vocabulary. At least 1. Default: the tokenizer's. */
  public ModelShape vocabularySize(int value) {
    set("vocabulary_size", value);
    return this;
  }

  /** Width of the hidden states. At least 1. Default: 256. */
  public ModelShape hiddenSize(int value) {
    set("hidden_size", value);
    return this;
  }

  /** Number of blocks. At least 1. Default: 4. */
  public ModelShape layers(int value) {
    set("layers", value);
    return this;
  }

  /** Attention heads. At least 1. Default: one for every 64 of hidden_size. */
  public ModelShape heads(int value) {
    set("heads", value);
    return this;
  }

  /** Heads of keys and values. At least 1. Default: heads. */
  public ModelShape kvHeads(int value) {
    set("kv_heads", value);
    return this;
  }

  /**
   * Width of the MLP. At least 1. Default: 8/3 of hidden_size, rounded up to a multiple of 32; gpt2: 4 times
   * hidden_size.
   */
  public ModelShape intermediateSize(int value) {
    set("intermediate_size", value);
    return this;
  }

  /** Tokens that the model reads at most. At least 1. Default: 1024. */
  public ModelShape contextLength(int value) {
    set("context_length", value);
    return this;
  }

  /** The head is the token embedding. Default: on. */
  public ModelShape tieWordEmbeddings(boolean value) {
    set("tie_word_embeddings", value);
    return this;
  }

  /** Standard deviation of the weights. At least 0. Default: 0.02. */
  public ModelShape initializerRange(double value) {
    set("initializer_range", value);
    return this;
  }

  /** Seed of the weights: equal shapes and seeds give equal files. At least 0. Default: 42. */
  public ModelShape seed(long value) {
    set("seed", value);
    return this;
  }

  /** Replace what stands there. Default: off. */
  public ModelShape overwrite(boolean value) {
    set("overwrite", value);
    return this;
  }
}
