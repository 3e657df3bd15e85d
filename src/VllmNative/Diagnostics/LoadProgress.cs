namespace VllmNative.Diagnostics;

/// <summary>How far the loading of weights has come.</summary>
/// <param name="LoadedBytes">Bytes of weights that are on the device.</param>
/// <param name="TotalBytes">Bytes in the checkpoint.</param>
public readonly record struct LoadProgress(long LoadedBytes, long TotalBytes);
