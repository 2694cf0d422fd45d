import DPOBase

/// Writes tensors as one safetensors file, crash-safely.
func writeSafetensors(_ path: String, _ tensors: [OutputTensor]) throws {
  var header: JSONObject = ["__metadata__": ["format": "pt"]]
  var offset = 0
  for tensor in tensors {
    header[tensor.name] = [
      "dtype": .string(tensor.dtype.rawValue),
      "shape": .array(tensor.shape.map(JSON.int)),
      "data_offsets": [.int(offset), .int(offset + tensor.byteCount)],
    ]
    offset += tensor.byteCount
  }
  var text = JSON.object(header).description
  // The data begin on a multiple of 64, so that readers can use them where they lie.
  text += String(repeating: " ", count: (64 - (8 + text.utf8.count) % 64) % 64)
  let file = try AtomicFile(path)
  try withUnsafeBytes(of: UInt64(text.utf8.count).littleEndian) { try file.write($0) }
  try file.write(text)
  for tensor in tensors { try tensor.withEncoded { try file.write($0) } }
  try file.commit()
}
