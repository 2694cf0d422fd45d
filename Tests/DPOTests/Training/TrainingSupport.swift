import DPO
import DPOBase
import DPOModel

/// All numbers that a run trains, to the bit.
func parameterBits(_ trainer: Trainer) -> [UInt32] {
  (0..<trainer.parameters.count).map { trainer.parameters.values.pointer[$0].bitPattern }
}

/// Every line of a run's metrics without its wall time.
func metricRows(_ directory: String) throws -> [JSON] {
  var rows: [JSON] = []
  try RowFile("\(directory)/metrics.jsonl").forEach { row, _ in
    var row = row
    row["seconds"] = nil
    rows.append(.object(row))
  }
  return rows
}
