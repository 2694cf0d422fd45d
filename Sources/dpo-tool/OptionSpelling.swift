import DPO

extension OptionSetting {
  /// As the command takes it: "--max-length 2048", "--no-disable-dropout".
  var flags: String {
    let name = String(option.map { $0 == "_" ? "-" : $0 })
    switch value {
    case .bool(let isOn): return isOn ? "--\(name)" : "--no-\(name)"
    default: return valueText.map { "--\(name) \($0)" } ?? "--\(name)"
    }
  }
}
