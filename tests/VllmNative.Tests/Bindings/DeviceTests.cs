using System.Text;
using VllmNative.Bindings;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>Data goes through the boundary whole.</summary>
public sealed class DeviceTests
{
    [Fact]
    public void Info_names_the_device_and_its_threads()
    {
        using DeviceHandle device = DeviceHandle.Create(NativeConstants.DeviceCpu, 0, new DeviceOptions { NumThreads = 2 });
        DeviceInfo info = device.GetInfo();
        ReadOnlySpan<byte> name = info.Name;
        Assert.Equal(NativeConstants.DeviceCpu, info.Kind);
        Assert.Equal(2, info.NumThreads);
        Assert.True(info.TotalMemory > 0);
        Assert.NotEmpty(Encoding.UTF8.GetString(name[..name.IndexOf((byte)0)]));
    }

    [Fact]
    public unsafe void Bytes_copied_in_come_back()
    {
        using DeviceHandle device = DeviceHandle.Create(NativeConstants.DeviceCpu, 0);
        using StreamHandle stream = StreamHandle.Create(device, NativeConstants.StreamCopy);
        using BufferHandle buffer = BufferHandle.Create(device, NativeConstants.MemoryDevice, 16);
        float[] source = [1, 2, 3, 4];
        float[] back = new float[4];
        fixed (float* from = source, to = back)
        {
            Status.Check(NativeMethods.vn_copy(stream, buffer.GetData(), (nint)from, 16, NativeConstants.CopyHostToDevice));
            Status.Check(NativeMethods.vn_copy(stream, (nint)to, buffer.GetData(), 16, NativeConstants.CopyDeviceToHost));
            Status.Check(NativeMethods.vn_stream_synchronize(stream));
        }
        Assert.Equal(source, back);
    }
}
