import DPOBase

/// Learns a byte-level BPE tokenizer from text: `add` documents, then `train`.
///
/// Vocabulary and merges are those of the BpeTrainer of Hugging Face's `tokenizers` with the whole byte-level alphabet:
/// special tokens, the 256 bytes, then merges. Memory grows with the distinct words of the text, not with its length.
public struct TokenizerTrainer {
  /// How text is cut into words, within which merges are made.
  public enum WordSplit: String, CaseIterable, Sendable {
    /// As GPT-2 does: words with the blank before them, numbers, punctuation.
    case gpt2
    /// GPT-2's, and every digit a word of its own.
    case smollm
    /// As Llama 3 does: numbers in threes, and more kinds of line ends.
    case llama3
    /// As Qwen2 does: digits one by one, with Unicode's NFC before it.
    case qwen2

    fileprivate var rules: GGUFPreTokenizer? {
      switch self {
      case .gpt2: .named("gpt-2")
      case .smollm: .named("smollm")
      case .llama3: .named("llama-bpe")
      case .qwen2: .named("qwen2")
      }
    }
  }

  private let options: Options
  private let bosToken, eosToken, padToken: String
  private let chatTemplate: String?
  /// In the order of their ids.
  private let specialTokens: [String]
  private let rules: GGUFPreTokenizer
  private let normalizer: Normalizer?
  private let preTokenizer: PreTokenizer
  private let scratch: RegexScratch
  private var counts = WordCounts()

  /// - Throws: `.invalidArgument` for a vocabulary too small for its special tokens and bytes, or special tokens that are
  ///   empty or given twice; `.format` for a chat template that cannot be parsed.
  public init(_ options: Options) throws {
    let isChatML = options.chatTemplate == "chatml"
    bosToken = options.bosToken ?? TokenizerTrainer.usualToken
    eosToken = options.eosToken ?? (isChatML ? TokenizerTrainer.chatMLEnd : TokenizerTrainer.usualToken)
    padToken = options.padToken ?? TokenizerTrainer.usualToken
    chatTemplate = isChatML ? TokenizerTrainer.chatML : options.chatTemplate
    var special =
      (isChatML ? [TokenizerTrainer.usualToken, "<|im_start|>", TokenizerTrainer.chatMLEnd] : [])
      + options.specialTokens
    for token in [bosToken, eosToken, padToken] where !special.contains(token) {
      special.append(token)
    }
    try options.validate()
    guard !special.contains(where: \.isEmpty), Set(special.map { Array($0.utf8) }).count == special.count else {
      throw DPOError.argument("special tokens: each must be given once and must not be empty")
    }
    let smallest = special.count + 256
    guard (smallest...Vocabulary.largestID).contains(options.vocabularySize) else {
      throw DPOError.argument(
        "vocab_size is \(options.vocabularySize), expected \(smallest) (256 bytes and \(special.count) special tokens) to "
          + "\(Vocabulary.largestID)")
    }
    guard let rules = options.wordSplit.rules else {
      throw DPOError(.internal, "no rules for \(options.wordSplit.rawValue)")
    }
    if let template = chatTemplate { _ = try ChatTemplate(source: template, file: "chat template") }
    self.options = options
    self.rules = rules
    specialTokens = special
    normalizer = try Normalizer(rules.normalizer.isNull ? nil : JSONField(rules.normalizer, file: "normalizer"))
    preTokenizer = try PreTokenizer(JSONField(rules.preTokenizer, file: "pre-tokenizer"))
    scratch = try RegexScratch()
  }

  /// bos, eos and pad where nobody names another.
  private static let usualToken = "<|endoftext|>"
  private static let chatMLEnd = "<|im_end|>"

  /// ChatML, with what the assistant writes in generation blocks, so that `assistant_only_loss` knows it.
  static let chatML = """
    {% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}{% if message['role'] == 'assistant' %}\
    {% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}{% else %}\
    {{ message['content'] + '<|im_end|>' }}{% endif %}{{ '\\n' }}{% endfor %}\
    {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
    """

  /// Different words so far.
  public var wordCount: Int { counts.counts.count }

  /// Counts the words of a document.
  public mutating func add(_ text: String) throws {
    var text = text
    try text.withUTF8 { text in
      if let normal = try normalizer?.apply(text, scratch) {
        try normal.withUnsafeBufferPointer { try count($0) }
      } else {
        try count(text)
      }
    }
  }

  private mutating func count(_ text: UnsafeBufferPointer<UInt8>) throws {
    try preTokenizer.forEachWord(of: text, isStart: true, scratch) { try counts.add($0) }
  }

  /// The tokenizer. It has fewer tokens than asked for where the text has no more pairs that occur often enough.
  ///
  /// - Parameter progress: tokens so far, now and then; an error that it throws stops the training.
  /// - Throws: `.format` without any text.
  public func train(progress: (_ tokens: Int, _ of: Int) throws -> Void = { _, _ in }) throws -> Tokenizer {
    guard wordCount > 0 else { throw DPOError.format("corpus", "no text; expected at least one word to learn from") }
    // As `tokenizers` numbers them: special tokens, then the alphabet in the order of its code points.
    let bytes = (0..<256).sorted { ByteLevel.scalars[$0] < ByteLevel.scalars[$1] }
    var byteTokens = [Int32](repeating: 0, count: 256)
    var tokens = specialTokens.map { Array($0.utf8) }
    for byte in bytes {
      byteTokens[byte] = Int32(tokens.count)
      tokens.append(Array(String(Character(Unicode.Scalar(ByteLevel.scalars[byte]) ?? " ")).utf8))
    }
    var learner = MergeLearner(counts, tokens: tokens, byteTokens: byteTokens)
    try learner.learn(vocabularySize: options.vocabularySize, minimumFrequency: options.minimumFrequency) {
      try progress($0, options.vocabularySize)
    }
    return try Tokenizer(tokenizerJSON: json(learner), configuration: configuration, file: "tokenizer.json")
  }

  /// tokenizer.json
  private func json(_ learner: MergeLearner) -> JSON {
    let spelled = learner.tokens.map { String(decoding: $0, as: UTF8.self) }
    var vocabulary = JSONObject()
    for (id, token) in spelled.enumerated() { vocabulary[token] = .int(id) }
    let added: [JSON] = specialTokens.enumerated().map { id, token in
      [
        "id": .int(id), "content": .string(token), "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true,
      ]
    }
    let byteLevel: JSON = ["type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true]
    let merges: [JSON] = learner.merges.map {
      .array([.string(spelled[Int($0.left)]), .string(spelled[Int($0.right)])])
    }
    return [
      "version": "1.0", "truncation": .null, "padding": .null, "added_tokens": .array(added),
      "normalizer": rules.normalizer, "pre_tokenizer": rules.preTokenizer, "post_processor": byteLevel,
      "decoder": byteLevel,
      "model": [
        "type": "BPE", "dropout": .null, "unk_token": .null, "continuing_subword_prefix": .null,
        "end_of_word_suffix": .null, "fuse_unk": false, "byte_fallback": false,
        "ignore_merges": .bool(rules.ignoresMerges), "vocab": .object(vocabulary), "merges": .array(merges),
      ],
    ]
  }

  /// tokenizer_config.json
  private var configuration: JSON {
    var object: JSONObject = [
      "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": .string(bosToken),
      "eos_token": .string(eosToken), "pad_token": .string(padToken),
      "clean_up_tokenization_spaces": false,
    ]
    if let template = chatTemplate { object["chat_template"] = .string(template) }
    return .object(object)
  }
}
