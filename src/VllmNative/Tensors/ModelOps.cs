using VllmNative.Bindings;

namespace VllmNative.Tensors;

/// <summary>The operations of a decoder layer; shapes and formulas stand in native/include/vllm_native.h.</summary>
internal static unsafe class ModelOps
{
    internal static void Embedding(this Device device, Weight table, Tensor ids, Tensor output, float scale)
    {
        var p = new EmbeddingParams { Table = table.Pointer, Ids = ids.ToNative(), Out = output.ToNative(), Scale = scale };
        Status.Check(NativeMethods.vn_embedding(device.Stream, &p));
    }

    /// <summary>With a residual: residual += x first, and the residual is normalised.</summary>
    internal static void RmsNorm(this Device device, Tensor x, Tensor weight, Tensor residual, Tensor output, float eps, float weightOffset)
    {
        var p = new RmsNormParams
        {
            X = x.ToNative(),
            Weight = weight.ToNative(),
            Residual = residual.ToNative(),
            Out = output.ToNative(),
            Eps = eps,
            WeightOffset = weightOffset,
        };
        Status.Check(NativeMethods.vn_rms_norm(device.Stream, &p));
    }

    internal static void Gemm(this Device device, Weight weight, Tensor x, Tensor bias, Tensor y, Workspace workspace)
    {
        var p = new GemmParams
        {
            Weight = weight.Pointer,
            X = x.ToNative(),
            Bias = bias.ToNative(),
            Y = y.ToNative(),
            Workspace = workspace.Data,
            WorkspaceBytes = workspace.Bytes,
        };
        Status.Check(NativeMethods.vn_gemm(device.Stream, &p));
    }

    /// <summary>Has the device measure how it computes this product fastest; what y holds is lost.</summary>
    internal static void TuneGemm(this Device device, Weight weight, Tensor x, Tensor bias, Tensor y)
    {
        Status.Check(NativeMethods.vn_gemm_tune_workspace_size(weight.Handle, (int)x.Type, (int)y.Type, x.Dim0, out long bytes));
        using DeviceBuffer workspace = device.Allocate(bytes);
        var p = new GemmParams
        {
            Weight = weight.Pointer,
            X = x.ToNative(),
            Bias = bias.ToNative(),
            Y = y.ToNative(),
            Workspace = workspace.Data,
            WorkspaceBytes = bytes,
        };
        Status.Check(NativeMethods.vn_gemm_tune(device.Stream, &p));
    }

    internal static long GemmWorkspace(Weight weight, DataType xType, long maxRows)
    {
        Status.Check(NativeMethods.vn_gemm_workspace_size(weight.Handle, (int)xType, maxRows, out long bytes));
        return bytes;
    }

    internal static void RopeCosSin(this Device device, Tensor positions, Tensor inverseFrequencies, Tensor output, float scale)
    {
        var p = new RopeCosSinParams
        {
            Positions = positions.ToNative(),
            InvFreq = inverseFrequencies.ToNative(),
            Out = output.ToNative(),
            Scale = scale,
        };
        Status.Check(NativeMethods.vn_rope_cos_sin(device.Stream, &p));
    }

    /// <summary>Norm and rotation of q and k heads, and the write of k and v into the cache.</summary>
    internal static void RopeCacheWrite(this Device device, in RopeCacheWriteInputs inputs, in KvCacheView cache)
    {
        var p = new RopeCacheWriteParams
        {
            Q = inputs.Query.ToNative(),
            K = inputs.Key.ToNative(),
            V = inputs.Value.ToNative(),
            QNorm = inputs.QueryNorm.ToNative(),
            KNorm = inputs.KeyNorm.ToNative(),
            CosSin = inputs.CosSin.ToNative(),
            SlotMapping = inputs.SlotMapping.ToNative(),
            Cache = cache,
            Style = (int)inputs.Style,
            Eps = inputs.Eps,
        };
        Status.Check(NativeMethods.vn_rope_cache_write(device.Stream, &p));
    }

    internal static void PagedAttention(this Device device, in AttentionInputs inputs, in KvCacheView cache)
    {
        var p = new AttentionParams
        {
            Q = inputs.Query.ToNative(),
            Out = inputs.Output.ToNative(),
            QueryStart = inputs.QueryStart.ToNative(),
            SeqLens = inputs.SequenceLengths.ToNative(),
            StepRows = inputs.StepRows.ToNative(),
            BlockTable = inputs.BlockTable.ToNative(),
            Cache = cache,
            Scale = inputs.Scale,
            Softcap = inputs.SoftCap,
            Window = inputs.Window,
            MaxQueryLen = inputs.MaxQueryLength,
            MaxSeqLen = inputs.MaxSequenceLength,
            MaxPrefillSeqLen = inputs.MaxPrefillSequenceLength,
            Workspace = inputs.Workspace.Data,
            WorkspaceBytes = inputs.Workspace.Bytes,
        };
        Status.Check(NativeMethods.vn_attention_paged(device.Stream, &p));
    }

    internal static long AttentionWorkspace(this Device device, long maxTokens, int queryHeads, int valueDim, long maxSequence)
    {
        Status.Check(NativeMethods.vn_attention_workspace_size(device.Handle, maxTokens, queryHeads, valueDim, maxSequence, out long bytes));
        return bytes;
    }

    internal static void GatedActivation(this Device device, ActivationFunction activation, Tensor x, Tensor output)
    {
        var p = new GatedActivationParams { Activation = (int)activation, X = x.ToNative(), Out = output.ToNative() };
        Status.Check(NativeMethods.vn_gated_activation(device.Stream, &p));
    }

    /// <summary>output[i] = x[table[i, 0]].</summary>
    internal static void GatherRows(this Device device, Tensor x, Tensor table, Tensor output)
    {
        NativeTensor rows = table.ToNative();
        rows.Rank = 1; // the first column: the stride of the table's rows stays
        var p = new GatherRowsParams { X = x.ToNative(), Rows = rows, Out = output.ToNative() };
        Status.Check(NativeMethods.vn_gather_rows(device.Stream, &p));
    }
}
