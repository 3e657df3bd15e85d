using VllmNative.Diagnostics;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>The devices that engines can run on, by the names that command lines and configuration files use.</summary>
public static class DeviceCatalog
{
    /// <summary>The names of the device kinds.</summary>
    public static IReadOnlyList<string> Names { get; } = ["cpu", "cuda"];

    /// <summary>The kind with a name.</summary>
    /// <exception cref="VllmException">There is none.</exception>
    public static DeviceKind Parse(string name) => name switch
    {
        "cpu" => DeviceKind.Cpu,
        "cuda" => DeviceKind.Cuda,
        _ => throw new VllmException($"device is \"{name}\", expected {string.Join(" or ", Names)}"),
    };

    /// <summary>The devices of this machine; a kind that has none is there once, with the reason.</summary>
    /// <remarks>Each device is created and given back, which on a GPU takes a moment.</remarks>
    public static IReadOnlyList<DeviceReport> List() => [.. Names.SelectMany(ListKind)];

    private static IEnumerable<DeviceReport> ListKind(string name)
    {
        DeviceKind kind = Parse(name);
        int count = NativeRuntime.CountDevices(kind, out string reason);
        if (count == 0)
        {
            return [new DeviceReport(name, 0, null, reason)];
        }

        return Enumerable.Range(0, count).Select(ordinal =>
        {
            DeviceDescription? device = NativeRuntime.Describe(kind, ordinal, out string problem);
            return new DeviceReport(name, ordinal, device, problem);
        });
    }
}
