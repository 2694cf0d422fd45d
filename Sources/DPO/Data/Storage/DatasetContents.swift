import CKernels
import DPOBase
import DPOStorage

/// What a data set is made of.
struct DatasetContents: Sendable {
  var columns: DatasetColumns
  let kind: RowKind
  let options: DatasetOptions
  let report: DataReport
  let name: String
  /// Files of the rows, and what their lines count.
  let files: [(name: String, unit: String)]
  /// What a user should know of where the rows are from.
  var notes: [String] = []
  /// The file that the columns lie in; nil: they are in memory.
  var file: HDF5Reader?

  /// XXH3-64 of everything that training sees.
  var fingerprint: UInt64 {
    // The columns of a file have been hashed when it was opened.
    func hash<Element>(_ column: Column<Element>?, _ name: String) -> UInt64 {
      guard let column else { return ck_xxh3(nil, 0) }
      if let known = file?.dataset("/\(name)")?.checksum { return known }
      return column.withElements { values in
        let bytes = UnsafeRawBufferPointer(values)
        return ck_xxh3(bytes.baseAddress, bytes.count)
      }
    }
    func hash<Element>(_ values: [Element]) -> UInt64 { values.withUnsafeBytes { ck_xxh3($0.baseAddress, $0.count) } }
    let limit = [options.maxLength ?? 0, options.truncation == .keepEnd ? 1 : 0, options.packs ? 1 : 0]
    var hashes = [
      hash(columns.tokens, "tokens"), hash(columns.ends, "ends"), hash(columns.firstSegments, "first_segments"),
      hash(limit), hash(columns.labels, "labels"), hash(columns.learned, "learned"), hash(columns.weights, "weights"),
      hash(columns.margins, "margins"), hash(columns.referenceChosen, "ref_chosen_logps"),
      hash(columns.referenceRejected, "ref_rejected_logps"), hash(columns.ranks, "ranks"),
    ]
    // Judges read them.
    if columns.promptRows != nil { hashes.append(hash(columns.promptRows, "prompt_rows")) }
    return hash(hashes)
  }
}
