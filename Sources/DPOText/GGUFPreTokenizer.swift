import DPOBase

/// How llama.cpp splits text under a name in `tokenizer.ggml.pre`, in the terms of tokenizer.json.
struct GGUFPreTokenizer {
  /// llama.cpp's names; the first is the one that we write.
  let names: [String]
  /// Of tokenizer.json.
  let preTokenizer: JSON
  var normalizer: JSON = .null
  var ignoresMerges = false
  /// What holds without `tokenizer.ggml.add_bos_token`.
  var addsBOS = false

  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  private static let tail = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#
  private static let llama3 =
    contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"# + tail
  private static let qwen2 = contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"# + tail
  private static let qwen35 =
    contractions + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"# + tail
  private static let bailing =
    contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
  private static let seedCoder = contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}\r\n]+"# + tail
  private static let mixedCase = [
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"#,
    #"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"#,
  ]
  private static let tekken =
    mixedCase.joined(separator: "|") + #"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + tail
  private static let gpt4o =
    mixedCase.map { "\($0)\(contractions)?" }.joined(separator: "|") + #"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*"# + tail
  private static let deepSeek3 = [
    #"\p{N}{1,3}"#, "[一-龥぀-ゟ゠-ヿ]+",
    ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"##
      + tail,
  ]

  /// Letters with upper and lower case.
  private static let deepSeekLetters =
    "A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴ"
    + "ᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓"
    + "𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃"
  private static let deepSeek = [
    #"[\r\n]"#, #"\s?["# + deepSeekLetters + "]+", #"\s?[!-/:-~！-／：-～‘-‟　-。]+"#, #"\s+$"#, "[一-龥ࠀ-一가-퟿]+", #"\p{N}+"#,
  ]

  private static func byteLevel(usesRegex: Bool) -> JSON {
    [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(usesRegex),
    ]
  }

  private static func splits(_ patterns: [String]) -> JSON {
    let steps: [JSON] = patterns.map {
      ["type": "Split", "pattern": ["Regex": .string($0)], "behavior": "Isolated", "invert": false]
    }
    return ["type": "Sequence", "pretokenizers": .array(steps + [byteLevel(usesRegex: false)])]
  }

  static let all: [GGUFPreTokenizer] = [
    GGUFPreTokenizer(
      names: ["gpt-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "phi-2", "gigachat", "exaone4"],
      preTokenizer: byteLevel(usesRegex: true)),
    GGUFPreTokenizer(
      names: ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
      preTokenizer: [
        "type": "Sequence",
        "pretokenizers": [["type": "Digits", "individual_digits": true], byteLevel(usesRegex: true)],
      ]),
    GGUFPreTokenizer(
      names: [
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano",
      ],
      preTokenizer: splits([llama3]), ignoresMerges: true, addsBOS: true),
    GGUFPreTokenizer(names: ["smaug-bpe", "dbrx", "chatglm-bpe", "glm4"], preTokenizer: splits([llama3])),
    GGUFPreTokenizer(
      names: ["qwen2", "stablelm2", "deepseek-r1-qwen", "megrez", "kormo", "hunyuan", "solar-open", "grok-2"],
      preTokenizer: splits([qwen2]), normalizer: ["type": "NFC"]),
    GGUFPreTokenizer(names: ["qwen35"], preTokenizer: splits([qwen35]), normalizer: ["type": "NFC"]),
    GGUFPreTokenizer(names: ["bailingmoe", "bailingmoe2", "llada-moe"], preTokenizer: splits([bailing])),
    GGUFPreTokenizer(names: ["seed-coder"], preTokenizer: splits([seedCoder])),
    GGUFPreTokenizer(
      names: ["minicpm5"],
      preTokenizer: splits([
        #"\p{N}{1,3}"#, contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*"# + tail,
      ]), ignoresMerges: true),
    GGUFPreTokenizer(names: ["tekken"], preTokenizer: splits([tekken]), ignoresMerges: true, addsBOS: true),
    GGUFPreTokenizer(
      names: ["gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"], preTokenizer: splits([gpt4o])),
    GGUFPreTokenizer(names: ["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], preTokenizer: splits(deepSeek3)),
    GGUFPreTokenizer(
      names: ["deepseek-coder"],
      preTokenizer: splits([#"[\r\n]"#, #"\s?\p{L}+"#, #"\s?\p{P}+"#, "[一-龥ࠀ-一가-퟿]+", #"\p{N}"#])),
    GGUFPreTokenizer(names: ["deepseek-llm"], preTokenizer: splits(deepSeek)),
    GGUFPreTokenizer(
      names: ["falcon"],
      preTokenizer: splits([#"[\p{P}\$\+<=>\^~\|`]+"#, PreTokenizer.gpt2Pattern, "[0-9][0-9][0-9]"])),
    GGUFPreTokenizer(
      names: ["default"],
      preTokenizer: splits([#"[\p{P}\$\+<=>\^~\|]+"#, PreTokenizer.gpt2Pattern, #"\p{N}+"#, "[0-9][0-9][0-9]"])),
  ]

  static func named(_ name: String) -> GGUFPreTokenizer? { all.first { $0.names.contains(name) } }

  /// The name of what tokenizer.json says, if llama.cpp has one. A missing `ignore_merges` counts as false.
  static func name(preTokenizer: JSON, ignoresMerges: Bool) -> String? {
    let steps = canonical(preTokenizer)
    let same = all.filter { canonical($0.preTokenizer) == steps }
    return (same.first { $0.ignoresMerges == ignoresMerges } ?? same.first)?.names.first
  }

  /// The steps of a pre-tokenizer without what does not change tokens: nesting, order of keys, `trim_offsets`, defaults
  /// left out, and spellings of the same expression.
  private static func canonical(_ json: JSON) -> [String] {
    if let steps = json["pretokenizers"]?.array { return steps.flatMap(canonical) }
    guard var step = json.object else { return [json.description] }
    step["trim_offsets"] = nil
    if step["type"] == "ByteLevel", step["use_regex"] == nil { step["use_regex"] = true }
    if let regex = step["pattern"]?["Regex"]?.string { step["pattern"] = .string(plain(regex)) }
    return [step.members.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: ", ")]
  }

  /// Qwen and Llama write the same expression with and without possessive quantifiers and with either spelling of the
  /// contractions.
  private static func plain(_ regex: String) -> String {
    var out = regex
    for (old, new) in [
      ("'(?i:[sdmt]|ll|ve|re)", contractions),
      ("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", contractions),
      ("?+", "?"), ("++", "+"), ("*+", "*"), ("|\\s+$", ""),
    ] {
      out = out.replacing(old, by: new)
    }
    return out
  }
}
