using System.Runtime.CompilerServices;
using VllmNative.Bindings;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>Lifetimes: any order, any thread, once.</summary>
public sealed class HandleTests
{
    [Fact]
    public void Handles_are_destroyed_in_any_order()
    {
        foreach (int[] order in Permutations(5))
        {
            NativeHandle[] handles = CreateAll();
            foreach (int i in order)
            {
                handles[i].Dispose();
            }
            Assert.All(handles, h => Assert.True(h.IsClosed));
        }
    }

    [Fact]
    public void Child_works_after_its_device_handle_was_disposed()
    {
        DeviceHandle device = CreateDevice();
        using StreamHandle stream = StreamHandle.Create(device, NativeConstants.StreamCompute);
        using BufferHandle buffer = BufferHandle.Create(device, NativeConstants.MemoryDevice, 64);
        device.Dispose();
        Status.Check(NativeMethods.vn_fill_zero(stream, buffer.GetData(), 64));
        Status.Check(NativeMethods.vn_stream_synchronize(stream));
    }

    [Fact]
    public void Handles_that_were_dropped_are_released_by_the_finalizer()
    {
        for (int i = 0; i < 20; i++)
        {
            Drop();
        }
        GC.Collect();
        GC.WaitForPendingFinalizers();

        [MethodImpl(MethodImplOptions.NoInlining)]
        static void Drop() => CreateAll();
    }

    [Fact]
    public void Handles_are_destroyed_on_any_thread()
    {
        NativeHandle[] handles = CreateAll();
        Parallel.ForEach(handles, h => h.Dispose());
        Assert.All(handles, h => Assert.True(h.IsClosed));
    }

    [Fact]
    public void Disposed_handle_is_refused_before_the_native_side_sees_it()
    {
        using DeviceHandle device = CreateDevice();
        StreamHandle stream = StreamHandle.Create(device, NativeConstants.StreamCompute);
        stream.Dispose();
        stream.Dispose();
        Assert.Throws<ObjectDisposedException>(() => NativeMethods.vn_stream_synchronize(stream));
        Assert.Throws<ObjectDisposedException>(() => stream.Address);
    }

    [Fact]
    public void Failed_creation_throws_status_and_message()
    {
        using DeviceHandle device = CreateDevice();
        var error = Assert.Throws<NativeException>(() => BufferHandle.Create(device, NativeConstants.MemoryDevice, -1));
        Assert.Equal(NativeStatus.InvalidArgument, error.Status);
        Assert.Contains("bytes", error.Message, StringComparison.Ordinal);
        Assert.Contains("-1", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Kind_without_a_device_throws_a_message()
    {
        var error = Assert.Throws<NativeException>(() => DeviceHandle.Create(99, 0));
        Assert.NotEmpty(error.Message);
    }

    [Fact]
    public unsafe void Null_params_are_refused_with_the_operations_name()
    {
        using DeviceHandle device = CreateDevice();
        using StreamHandle stream = StreamHandle.Create(device, NativeConstants.StreamCompute);
        var error = Assert.Throws<NativeException>(() => Status.Check(NativeMethods.vn_gemm(stream, null)));
        Assert.StartsWith("gemm: ", error.Message, StringComparison.Ordinal);
    }

    private static DeviceHandle CreateDevice() =>
        DeviceHandle.Create(NativeConstants.DeviceCpu, 0, new DeviceOptions { NumThreads = 1 });

    private static NativeHandle[] CreateAll()
    {
        DeviceHandle device = CreateDevice();
        return
        [
            device,
            StreamHandle.Create(device, NativeConstants.StreamCompute),
            EventHandle.Create(device),
            BufferHandle.Create(device, NativeConstants.MemoryDevice, 256),
            WeightHandle.Create(device, NativeConstants.WeightGemm, NativeConstants.DtypeF32, 4, 8),
        ];
    }

    private static IEnumerable<int[]> Permutations(int count)
    {
        if (count == 0)
        {
            return [[]];
        }
        return Permutations(count - 1).SelectMany(rest =>
            Enumerable.Range(0, count).Select(at => rest.Take(at).Append(count - 1).Concat(rest.Skip(at)).ToArray()));
    }
}
