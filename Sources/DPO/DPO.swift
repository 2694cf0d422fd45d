@_exported import DPOBase
@_exported import DPOKernels
@_exported import DPOModel
@_exported import DPOStorage
@_exported import DPOText
