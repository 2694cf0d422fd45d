package libdpo;

/** What a model is. Tokens are -1 where there is none. */
public record ModelInfo(
    long parameters, long mappedBytes, int vocabularySize, int hiddenSize, int layers, int contextLength, int eosToken,
    int bosToken, boolean hasChatTemplate, boolean hasAdapter, boolean isRewardModel, String architecture, String format) {}
