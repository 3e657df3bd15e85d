using VllmNative.Bindings;
using VllmNative.Tensors;

namespace VllmNative.Engine;

/// <summary>Looks at what an engine needs of this machine, without a model.</summary>
public static class EngineDoctor
{
    /// <summary>Loads the native library and lists the devices; never throws for what it is there to find.</summary>
    public static EngineHealth Examine()
    {
        try
        {
            string path = NativeRuntime.Load();
            return new EngineHealth(path, NativeRuntime.LibraryAbi, NativeRuntime.BindingAbi, DeviceCatalog.List(), null);
        }
        catch (Exception error) when (error is DllNotFoundException or NativeException)
        {
            return new EngineHealth(null, null, NativeRuntime.BindingAbi, [], error.Message);
        }
    }
}
