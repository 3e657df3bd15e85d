using VllmNative.Diagnostics;
using VllmNative.Execution;
using VllmNative.Layers;
using VllmNative.Tensors;

namespace VllmNative.Benchmarks.Workloads;

/// <summary>Paged attention in the shape of TinyLlama: 32 query heads, 4 KV heads, 64 wide, bf16. Layers take turns.</summary>
internal sealed class AttentionWorkload : IDisposable
{
    private const int QueryHeads = 32;
    private const int KvHeads = 4;
    private const int HeadDim = 64;
    private const int BlockSize = 16;
    private const int Layers = 8;

    private readonly Device _device;
    private readonly KvPool _kv;
    private readonly DeviceBuffer _q;
    private readonly DeviceBuffer _out;
    private readonly DeviceBuffer _workspace;
    private readonly StagedArray<int> _starts;
    private readonly StagedArray<int> _lengths;
    private readonly StagedArray<int> _rows;
    private readonly StagedArray<int> _table;
    private readonly int _sequences;
    private readonly int _queryLength;
    private readonly int _context;
    private int _turn;

    internal AttentionWorkload(int sequences, int queryLength, int context, int threads = 0)
    {
        (_sequences, _queryLength, _context) = (sequences, queryLength, context);
        _device = Device.Create(DeviceKind.Cpu, 0, threads);
        int blocks = (context + BlockSize - 1) / BlockSize;
        _kv = new KvPool(_device, new KvGroup(Layers, BlockSize, KvHeads, HeadDim, HeadDim, DataType.BFloat16), 1 + (sequences * blocks));
        int tokens = sequences * queryLength;
        _q = _device.Allocate(2L * tokens * QueryHeads * HeadDim);
        _out = _device.Allocate(2L * tokens * QueryHeads * HeadDim);
        _workspace = _device.Allocate(_device.AttentionWorkspace(tokens, QueryHeads, HeadDim, context));
        _starts = Staged(sequences + 1, i => i * queryLength);
        _lengths = Staged(sequences, _ => context);
        _rows = Staged(sequences * 4, i => i % 4 == 0 ? i / 4 : 0);
        // Neighbouring blocks of a sequence lie apart, as in a pool that has been in use.
        _table = Staged(sequences * blocks, i => 1 + (i % blocks * sequences) + (i / blocks));
    }

    /// <summary>Bytes of K and V that one run reads.</summary>
    internal double KvBytes => 2.0 * 2 * _sequences * _context * KvHeads * HeadDim;

    /// <summary>Multiplications and additions of one run, causal.</summary>
    internal double Operations =>
        4.0 * _sequences * QueryHeads * HeadDim * _queryLength * (_context - ((_queryLength - 1) / 2.0));

    internal void Run()
    {
        int blocks = (_context + BlockSize - 1) / BlockSize;
        int tokens = _sequences * _queryLength;
        var inputs = new AttentionInputs
        {
            Query = Tensor.Matrix(_q.Data, DataType.BFloat16, tokens, QueryHeads * HeadDim).Heads(0, QueryHeads, HeadDim),
            Output = Tensor.Matrix(_out.Data, DataType.BFloat16, tokens, QueryHeads * HeadDim).Heads(0, QueryHeads, HeadDim),
            QueryStart = Tensor.Vector(_starts.Data, DataType.Int32, _sequences + 1),
            SequenceLengths = Tensor.Vector(_lengths.Data, DataType.Int32, _sequences),
            StepRows = Tensor.Matrix(_rows.Data, DataType.Int32, _sequences, 4),
            BlockTable = Tensor.Matrix(_table.Data, DataType.Int32, _sequences, blocks),
            MaxQueryLength = _queryLength,
            MaxSequenceLength = _context,
            Workspace = new Workspace(_workspace.Data, _workspace.Bytes),
        };
        _device.PagedAttention(inputs, _kv.ViewOf(_turn++ % Layers));
        _device.Synchronize();
    }

    public void Dispose()
    {
        _starts.Dispose();
        _lengths.Dispose();
        _rows.Dispose();
        _table.Dispose();
        _q.Dispose();
        _out.Dispose();
        _workspace.Dispose();
        _kv.Dispose();
        _device.Dispose();
    }

    private StagedArray<int> Staged(int count, Func<int, int> value)
    {
        var array = new StagedArray<int>(_device, count);
        for (int i = 0; i < count; i++)
        {
            array.Host[i] = value(i);
        }

        array.Upload(count);
        return array;
    }
}
