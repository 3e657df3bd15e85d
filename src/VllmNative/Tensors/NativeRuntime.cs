using VllmNative.Bindings;
using VllmNative.Diagnostics;

namespace VllmNative.Tensors;

/// <summary>Facts about the native library itself, before any device is made.</summary>
internal static class NativeRuntime
{
    /// <summary>The ABI version that this assembly was built for.</summary>
    internal const int BindingAbi = AbiInfo.AbiVersion;

    /// <summary>The ABI version of the loaded library.</summary>
    internal static int LibraryAbi => NativeMethods.vn_abi_version();

    /// <summary>Loads the library and returns its path.</summary>
    internal static string Load() => NativeLibraryLoader.Load();

    /// <summary>How many devices of a kind can be used; with none, why.</summary>
    internal static int CountDevices(DeviceKind kind, out string reason)
    {
        Status.Check(NativeMethods.vn_device_count((int)kind, out int count));
        reason = count > 0 ? "" : Status.LastError();
        return count;
    }

    /// <summary>Describes a device, or says why it cannot be made.</summary>
    internal static DeviceDescription? Describe(DeviceKind kind, int ordinal, out string reason)
    {
        try
        {
            using Device device = Device.Create(kind, ordinal, threads: 0);
            reason = "";
            return device.Describe();
        }
        catch (NativeException error)
        {
            reason = error.Message;
            return null;
        }
    }
}
