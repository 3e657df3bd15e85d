using System.Runtime.CompilerServices;
using VllmNative.Bindings;
using VllmNative.Tensors;

namespace VllmNative.Tests;

/// <summary>
/// Planned misbehaviour of native operations. The library must be told before the process creates its first device, and any
/// test may do that: so it is told when this assembly is loaded.
/// </summary>
internal static unsafe class NativeFaults
{
    private static string? _unavailable = "the module was not initialised";

    /// <summary>Makes the nth next call of an operation misbehave.</summary>
    internal static void Inject(this Device device, string operation, long nth, string action, long value = 0)
    {
        if (_unavailable is not null)
        {
            throw new InvalidOperationException("faults cannot be planned: " + _unavailable);
        }

        Status.Check(NativeMethods.vn_debug_inject(device.Handle, operation, nth, action, value));
    }

#pragma warning disable CA2255 // A module initializer is what "before anything else" needs.
    [ModuleInitializer]
    internal static void Allow()
    {
        try
        {
            var options = new LibraryOptions { AllowFaults = 1 };
            Status.Check(NativeMethods.vn_library_init(&options));
            _unavailable = null;
        }
        catch (Exception error) when (error is DllNotFoundException or NativeException)
        {
            // Tests that need no native library still run; those that plan faults fail with the reason.
            _unavailable = error.Message;
        }
    }
#pragma warning restore CA2255
}
