namespace VllmNative.Tensors;

/// <summary>Scratch memory that operations share, because they run one after another on one stream.</summary>
internal readonly record struct Workspace(nint Data, long Bytes);
