using System.Diagnostics.CodeAnalysis;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace VllmNative.Bindings;

/// <summary>Turns a status into an exception.</summary>
internal static class Status
{
    /// <summary>Throws for any status but 0. Call it on the thread that made the call: the message belongs to the thread.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Check(int status)
    {
        if (status != 0)
        {
            Throw(status);
        }
    }

    /// <summary>This thread's last message; "" if nothing failed yet.</summary>
    public static unsafe string LastError() => Marshal.PtrToStringUTF8((nint)NativeMethods.vn_last_error()) ?? "";

    // Out of line, so that a checked call costs a compare and a branch.
    [DoesNotReturn]
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Throw(int status)
    {
        string message = LastError();
        throw new NativeException((NativeStatus)status, message.Length > 0 ? message : $"native status {status} without a message");
    }
}
