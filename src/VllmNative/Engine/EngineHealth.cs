namespace VllmNative.Engine;

/// <summary>What <see cref="EngineDoctor"/> found.</summary>
/// <param name="LibraryPath">The native library's file; null when it did not load.</param>
/// <param name="LibraryAbi">The library's ABI version; null when it did not load.</param>
/// <param name="BindingAbi">The ABI version that this assembly expects.</param>
/// <param name="Devices">The devices.</param>
/// <param name="Failure">Why the library did not load, with every path that was tried; null when it did.</param>
public sealed record EngineHealth(
    string? LibraryPath, int? LibraryAbi, int BindingAbi, IReadOnlyList<DeviceReport> Devices, string? Failure);
