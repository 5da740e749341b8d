import sys, time
exec(open('/tmp/remedy/train2.py').read().split("for key in sys.argv[1]:")[0])
V=[e for e in A if e.draws==5]
lists["V"]=V
key,i,n=sys.argv[1],int(sys.argv[2]),int(sys.argv[3])
for e in lists[key][i::n]:
    if e.stored(weights=False) is None:
        t=time.time(); c=time.process_time()
        train_and_store(e,False,progress=False,threads=1)
        print(key,e.name,e.canonical,round(time.time()-t),round(time.process_time()-c),time.strftime("%H:%M"),flush=True)
print("done",flush=True)
