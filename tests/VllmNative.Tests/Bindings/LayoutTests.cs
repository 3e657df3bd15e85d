using System.Runtime.InteropServices;
using VllmNative.Bindings;
using Xunit;

namespace VllmNative.Tests.Bindings;

/// <summary>Native compiler, C# runtime and generator agree on every byte of every struct.</summary>
public sealed class LayoutTests
{
    [Fact]
    public void Structs_lie_in_memory_as_the_native_compiler_laid_them_out() => Assert.Equal(NativeTable(), AbiInfo.Measure());

    [Fact]
    public void Generator_computes_the_layout_that_the_native_compiler_chose() => Assert.Equal(NativeTable(), AbiInfo.Expected());

    [Fact]
    public void Index_outside_the_table_is_refused_with_the_range()
    {
        var error = Assert.Throws<NativeException>(() => Status.Check(NativeMethods.vn_abi_layout(-1, out _, out _)));
        Assert.Equal(NativeStatus.InvalidArgument, error.Status);
        Assert.Contains("got -1, expected 0..", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void New_struct_carries_its_size()
    {
        Dictionary<string, long> sizes = NativeTable().ToDictionary(e => e.Name, e => e.Bytes);
        Assert.Equal(sizes["vn_gemm_params"], new GemmParams().StructSize);
        Assert.Equal(sizes["vn_attention_params"], new AttentionParams().StructSize);
        Assert.Equal(sizes["vn_kv_cache"], new KvCacheView().StructSize);
    }

    [Fact]
    public void Inline_arrays_are_spans_over_the_field()
    {
        var tensor = new NativeTensor();
        Span<long> shape = tensor.Shape;
        shape[3] = 7;
        Assert.Equal(4, shape.Length);
        Assert.Equal(7, tensor.Shape[3]);
    }

    private static (string Name, long Bytes)[] NativeTable()
    {
        var table = new List<(string, long)>();
        while (NativeMethods.vn_abi_layout(table.Count, out nint name, out long bytes) == 0)
        {
            table.Add((Marshal.PtrToStringUTF8(name)!, bytes));
        }
        Assert.NotEmpty(table);
        return [.. table];
    }
}
