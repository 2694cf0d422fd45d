import ArgumentParser
import DPO

struct TokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer", abstract: "Train a tokenizer for a new model.", subcommands: [Training.self])

  struct Training: ParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "train",
      abstract: "Learn a byte-level BPE tokenizer from text.",
      discussion: """
        Writes tokenizer.json and tokenizer_config.json, which transformers loads as well. Tokens are those that Hugging \
        Face's BpeTrainer learns: special tokens, 256 bytes, merges.
        """)

    @Option(
      help: ArgumentHelp(
        "Text: a .jsonl file with \"text\" in its rows, a text file, or a directory of such files. May be repeated.",
        valueName: "TEXT"))
    var data: [String]

    @Option(help: ArgumentHelp("Tokens, special ones and the 256 bytes included.", valueName: "N"))
    var vocabSize = TokenizerTrainer.Options().vocabularySize

    @Option(
      name: .customLong("special"),
      help: ArgumentHelp("A special token, in the order of ids. May be repeated.", valueName: "TOKEN"))
    var special: [String] = []

    @Option(help: ArgumentHelp("Begins a sequence (default: <|endoftext|>).", valueName: "TOKEN"))
    var bos: String?

    @Option(
      help: ArgumentHelp(
        "Ends documents and answers (default: <|endoftext|>, with the template chatml <|im_end|>).", valueName: "TOKEN")
    )
    var eos: String?

    @Option(help: ArgumentHelp("Fills up batches elsewhere (default: <|endoftext|>).", valueName: "TOKEN"))
    var pad: String?

    @Option(help: ArgumentHelp("Pairs that occur less often become no token.", valueName: "N"))
    var minFrequency = TokenizerTrainer.Options().minimumFrequency

    @Option(help: ArgumentHelp("How text is cut into words: gpt2, smollm, llama3 or qwen2.", valueName: "NAME"))
    var preTokenizer = TokenizerTrainer.WordSplit.gpt2

    @Option(help: ArgumentHelp("Chat template: chatml, or a Jinja file.", valueName: "chatml|FILE"))
    var chatTemplate: String?

    @Option(name: .shortAndLong, help: "Directory to write.")
    var output: String

    @Flag(help: "Replace what stands there.")
    var overwrite = false

    @Flag(help: "One JSON document on stdout.")
    var json = false

    func run() throws {
      var options = TokenizerTrainer.Options()
      if chatTemplate == "chatml" {
        options.useChatML()
      } else if let chatTemplate {
        options.chatTemplate = String(decoding: try readFile(chatTemplate, limit: 1 << 20), as: UTF8.self)
      }
      options.vocabularySize = vocabSize
      options.minimumFrequency = minFrequency
      options.wordSplit = preTokenizer
      options.specialTokens += special
      if let bos { options.bosToken = bos }
      if let eos { options.eosToken = eos }
      if let pad { options.padToken = pad }
      var trainer = try TokenizerTrainer(options)
      var bytes = 0
      try TextCorpus(data).forEach { text, _ in
        try trainer.add(text)
        bytes += text.utf8.count
      }
      var progress = Progress("token")
      let tokenizer = try trainer.train { progress.show(done: $0, total: $1, detail: "") }
      try tokenizer.save(to: output, overwrite: overwrite)
      let found = tokenizer.vocabularySize
      if found < vocabSize {
        Terminal.tell("the text has no more pairs of words' parts: \(found) tokens instead of \(vocabSize)")
      }
      if json {
        printJSON([
          "output": .string(output), "vocabulary": .int(found), "bytes": .int(bytes), "words": .int(trainer.wordCount),
        ])
      } else {
        print("wrote \(output): \(found) tokens from \(bytes) bytes of text with \(trainer.wordCount) different words")
      }
    }
  }
}

extension TokenizerTrainer.WordSplit: ExpressibleByArgument {}
