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
        valueName: "TEXT"), completion: .file())
    var data: [String]

    @Option(name: .shortAndLong, help: "Directory to write.", completion: .file())
    var output: String

    @OptionGroup var flags: TokenizerOptionFlags

    @Flag(help: "One JSON document on stdout.")
    var json = false

    func run() throws {
      var options = TokenizerTrainer.Options()
      flags.apply(to: &options)
      if let file = flags.chatTemplate, file != "chatml" {
        options.chatTemplate = String(decoding: try readFile(file, limit: 1 << 20), as: UTF8.self)
      }
      var trainer = try TokenizerTrainer(options)
      var bytes = 0
      try TextCorpus(data).forEach { text, _ in
        try trainer.add(text)
        bytes += text.utf8.count
      }
      var progress = Progress("token")
      let tokenizer = try trainer.train { progress.show(done: $0, total: $1, detail: "") }
      try tokenizer.save(to: output, overwrite: flags.overwrite)
      let found = tokenizer.vocabularySize
      if found < flags.vocabSize {
        Terminal.tell("the text has no more pairs of words' parts: \(found) tokens instead of \(flags.vocabSize)")
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
