using System.Runtime.InteropServices;

namespace VllmNative.Bindings;

/// <summary>
/// An owned native handle. Native children keep their parents alive, so that handles may be disposed or finalized in
/// any order and on any thread. Disposing is the owner's habit; the finalizer is for what an exception left behind.
/// </summary>
internal abstract class NativeHandle : SafeHandle
{
    private protected NativeHandle() : base(0, ownsHandle: true) { }

    /// <inheritdoc/>
    public override bool IsInvalid => handle == 0;

    /// <summary>The address for a field of a parameter struct; whoever stores it there keeps this object alive.</summary>
    public nint Address
    {
        get
        {
            ObjectDisposedException.ThrowIf(IsClosed, this);
            return handle;
        }
    }

    /// <summary>Returns the handle that a create function wrote, or throws its error and drops the empty handle.</summary>
    private protected static T Created<T>(int status, T handle) where T : NativeHandle
    {
        if (status != 0)
        {
            handle.Dispose();
            Status.Check(status);
        }
        return handle;
    }
}
